//! Certificates made for one test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};

/// An authority that signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    /// PEM, the leaf alone.
    pub cert: String,
    /// PEM, PKCS#8.
    pub key: String,
    /// The certificate's number.
    pub serial: Vec<u8>,
}

impl Authority {
    /// A new authority.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for these names, good from yesterday until tomorrow.
    #[must_use]
    pub fn sign(&self, names: &[&str]) -> Identity {
        self.sign_until(names, OffsetDateTime::now_utc() + Duration::days(1))
    }

    /// A certificate for these names that ended an hour ago.
    #[must_use]
    pub fn sign_expired(&self, names: &[&str]) -> Identity {
        self.sign_until(names, OffsetDateTime::now_utc() - Duration::hours(1))
    }

    /// A certificate for these names that is not good before tomorrow.
    #[must_use]
    pub fn sign_early(&self, names: &[&str]) -> Identity {
        let mut params = params(names);
        params.not_before = OffsetDateTime::now_utc() + Duration::days(1);
        self.sign_params(params, "early", OffsetDateTime::now_utc() + Duration::days(2))
    }

    /// A certificate for these names that only clients may show (RFC 5280 §4.2.1.12).
    #[must_use]
    pub fn sign_for_clients(&self, names: &[&str]) -> Identity {
        let mut params = params(names);
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self.sign_params(params, "client", OffsetDateTime::now_utc() + Duration::days(1))
    }

    fn sign_until(&self, names: &[&str], end: OffsetDateTime) -> Identity {
        let common_name = (*names.first().unwrap()).to_owned();
        self.sign_params(params(names), &common_name, end)
    }

    /// A certificate for this subject with these alternative names, whatever they hold: DNS names, URIs, addresses.
    #[must_use]
    pub fn sign_names(&self, subject: &str, dns: &[&str], uris: &[&str], emails: &[&str]) -> Identity {
        let mut params = params(&[]);
        let text = |text: &&str| (*text).try_into().unwrap();
        params.subject_alt_names.extend(dns.iter().map(|name| SanType::DnsName(text(name))));
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI(text(uri))));
        params.subject_alt_names.extend(emails.iter().map(|address| SanType::Rfc822Name(text(address))));
        self.sign_params(params, subject, OffsetDateTime::now_utc() + Duration::days(1))
    }

    fn sign_params(&self, mut params: CertificateParams, subject: &str, end: OffsetDateTime) -> Identity {
        params.distinguished_name.push(DnType::CommonName, subject);
        params.not_after = end;
        let key = KeyPair::generate().unwrap();
        // The number's first bit is its sign.
        let serial: Vec<u8> = key.public_key_raw().iter().rev().take(8).map(|byte| byte >> 1 | 1).collect();
        params.serial_number = Some(SerialNumber::from(serial.clone()));
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Identity { cert: cert.pem(), key: key.serialize_pem(), serial }
    }

    /// A list that revokes these, good until tomorrow.
    #[must_use]
    pub fn revoke(&self, revoked: &[&Identity]) -> String {
        self.revoke_until(revoked, OffsetDateTime::now_utc() + Duration::days(1))
    }

    /// As `revoke`, with a list that ended an hour ago.
    #[must_use]
    pub fn revoke_expired(&self, revoked: &[&Identity]) -> String {
        self.revoke_until(revoked, OffsetDateTime::now_utc() - Duration::hours(1))
    }

    fn revoke_until(&self, revoked: &[&Identity], end: OffsetDateTime) -> String {
        let began = OffsetDateTime::now_utc() - Duration::days(1);
        let entry = |identity: &&Identity| RevokedCertParams {
            serial_number: SerialNumber::from(identity.serial.clone()),
            revocation_time: began,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: began,
            next_update: end,
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// What a client that trusts this authority only connects with.
    #[must_use]
    pub fn client(&self, identity: Option<&Identity>, protocols: &[&str]) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_root_certificates(roots);
        let mut config = match identity {
            Some(identity) => builder.with_client_auth_cert(identity.chain(), identity.private_key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// Names, and good from yesterday.
fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params
}

impl Identity {
    /// A certificate that nobody but its own key has signed.
    #[must_use]
    pub fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let cert = params(names).self_signed(&key).unwrap();
        Self { cert: cert.pem(), key: key.serialize_pem(), serial: Vec::new() }
    }

    /// SHA-256 of the certificate in hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let der = CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Writes `NAME.crt` and `NAME.key` into a folder.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        std::fs::write(&cert, &self.cert).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        (cert, key)
    }

    /// As `server`, of clients with a certificate of this authority only.
    #[must_use]
    pub fn server_asking(&self, clients: &Authority, protocols: &[&str]) -> Arc<rustls::ServerConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(clients.issuer.der().clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_client_cert_verifier(verifier.build().unwrap());
        let mut config = builder.with_single_cert(self.chain(), self.private_key()).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// What a server that shows this certificate, and asks for none, accepts with.
    #[must_use]
    pub fn server(&self, protocols: &[&str]) -> Arc<rustls::ServerConfig> {
        let builder = rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_no_client_auth();
        let mut config = builder.with_single_cert(self.chain(), self.private_key()).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()]
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
