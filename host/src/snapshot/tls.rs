//! TLS towards clients: certificates by name, client certificates, versions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use crate::config::{CertificateConfig, ClientAuth, ListenerTlsConfig, TlsVersion};

type Fault = (String, String);

/// Certificates by the name a client asks for.
#[derive(Debug)]
struct Certificates {
    exact: BTreeMap<String, Arc<CertifiedKey>>,
    wildcard: BTreeMap<String, Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase).unwrap_or_default();
        let below = name.split_once('.').map_or("", |(_, below)| below);
        let found = self.exact.get(&name).or_else(|| self.wildcard.get(below));
        Some(found.unwrap_or(&self.first).clone())
    }
}

/// The server's side of TLS as configured.
///
/// # Errors
/// What is wrong, with a pointer into `tls`.
pub(super) fn server_config(config: &ListenerTlsConfig, folder: &Path) -> Result<ServerConfig, Fault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = certificates(&config.certificates, folder, &provider)?;
    let versions: &[&rustls::SupportedProtocolVersion] = match config.min_version {
        TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V13 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions);
    let builder = builder.map_err(|error| ("/min_version".to_owned(), error.to_string()))?;
    let builder = match (config.client_auth, &config.client_ca) {
        (ClientAuth::Off, None) => builder.with_no_client_auth(),
        (ClientAuth::Off, Some(_)) => {
            return Err(("/client_ca".to_owned(), "client_ca needs client_auth: optional or require".to_owned()));
        }
        (_, None) => return Err(("/client_auth".to_owned(), "client_auth needs client_ca".to_owned())),
        (auth, Some(path)) => {
            let wrong = |error: String| ("/client_ca".to_owned(), format!("{}: {error}", path.display()));
            let mut roots = RootCertStore::empty();
            for certificate in read_chain(&folder.join(path)).map_err(wrong)? {
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if auth == ClientAuth::Optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(error.to_string()))?)
        }
    };
    let mut server = builder.with_cert_resolver(Arc::new(certificates));
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A resumed session would carry its client certificate past a change of the authorities (CVE-2025-23419), so where
    // client certificates matter there is none.
    if config.client_auth != ClientAuth::Off {
        server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
    }
    Ok(server)
}

fn certificates(list: &[CertificateConfig], folder: &Path, provider: &CryptoProvider) -> Result<Certificates, Fault> {
    let (mut exact, mut wildcard, mut first) = (BTreeMap::new(), BTreeMap::new(), None);
    for (index, config) in list.iter().enumerate() {
        let at = |field: &str| format!("/certificates/{index}/{field}");
        let wrong = |error: String| (at("cert"), format!("{}: {error}", config.cert.display()));
        let chain = read_chain(&folder.join(&config.cert)).map_err(wrong)?;
        let names = chain.first().map(names_of).transpose().map_err(wrong)?.unwrap_or_default();
        let key_path = folder.join(&config.key);
        let wrong_key = |error: String| (at("key"), format!("{}: {error}", config.key.display()));
        let key = PrivateKeyDer::from_pem_file(&key_path).map_err(|error| wrong_key(error.to_string()))?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| wrong_key(error.to_string()))?;
        let key = Arc::new(key);
        for name in names {
            match name.strip_prefix("*.") {
                Some(below) => wildcard.entry(below.to_owned()).or_insert_with(|| key.clone()),
                None => exact.entry(name).or_insert_with(|| key.clone()),
            };
        }
        first.get_or_insert(key);
    }
    let first = first.ok_or_else(|| ("/certificates".to_owned(), "no certificate".to_owned()))?;
    Ok(Certificates { exact, wildcard, first })
}

fn names_of(certificate: &CertificateDer<'static>) -> Result<Vec<String>, String> {
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|error| error.to_string())?;
    Ok(parsed.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = match CertificateDer::pem_file_iter(path) {
        Ok(chain) => chain.collect(),
        Err(error) => return Err(error.to_string()),
    };
    match chain {
        Ok(chain) if chain.is_empty() => Err("has no certificate".to_owned()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(error.to_string()),
    }
}
