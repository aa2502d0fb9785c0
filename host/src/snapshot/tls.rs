//! TLS towards clients: certificates by name, client certificates and their revocation, versions, sessions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use crate::config::{CertificateConfig, ClientAuth, CrlScope, ListenerTlsConfig, TlsVersion};

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

/// What a listener does with the TLS of its clients.
#[derive(Debug)]
pub struct ListenerTls {
    /// What handshakes are made with. Sessions are kept in here and resumed from here only: none outlives a change of
    /// the listener's certificates, authorities or revocation lists, and rustls resumes none under another name
    /// (RFC 6066 §3).
    pub server: Arc<ServerConfig>,
    /// Who checks client certificates, where they are asked for.
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl ListenerTls {
    /// Whether the certificate that a resumed session brings is still good: it was checked when the session began.
    #[must_use]
    pub fn is_still_good(&self, chain: &[CertificateDer<'_>]) -> bool {
        let (Some(clients), Some((leaf, rest))) = (&self.clients, chain.split_first()) else { return true };
        clients.verify_client_cert(leaf, rest, UnixTime::now()).is_ok()
    }
}

/// How many sessions of a listener can be resumed; the oldest goes first. One takes up to 2 KiB where clients show
/// certificates, and 200 bytes elsewhere.
const SESSIONS_MAX: usize = 4096;

/// The server's side of TLS as configured.
///
/// # Errors
/// What is wrong, with a pointer into `tls`.
pub(super) fn listener_tls(config: &ListenerTlsConfig, folder: &Path) -> Result<ListenerTls, Fault> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = certificates(&config.certificates, folder, &provider)?;
    let versions: &[&rustls::SupportedProtocolVersion] = match config.min_version {
        TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V13 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions);
    let builder = builder.map_err(|error| ("/min_version".to_owned(), error.to_string()))?;
    let clients = client_verifier(config, folder, provider)?;
    let builder = match clients.clone() {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(clients),
    };
    let mut server = builder.with_cert_resolver(Arc::new(certificates));
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    server.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    // Early data can be replayed (RFC 8446 §8).
    server.max_early_data_size = 0;
    Ok(ListenerTls { server: Arc::new(server), clients })
}

/// Who checks client certificates, where they are asked for.
fn client_verifier(
    config: &ListenerTlsConfig,
    folder: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Fault> {
    let fault = |field: &str, why: &str| Err((format!("/{field}"), format!("{field} {why}")));
    let (auth, path) = match (config.client_auth, &config.client_ca, &config.client_crl) {
        (ClientAuth::Off, Some(_), _) => return fault("client_ca", "needs client_auth: optional or require"),
        (ClientAuth::Off, None, Some(_)) => return fault("client_crl", "needs client_auth: optional or require"),
        (ClientAuth::Off, None, None) => return Ok(None),
        (_, None, _) => return fault("client_auth", "needs client_ca"),
        (auth, Some(path), _) => (auth, path),
    };
    let wrong = |error: String| ("/client_ca".to_owned(), format!("{}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(&folder.join(path)).map_err(wrong)? {
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if auth == ClientAuth::Optional {
        verifier = verifier.allow_unauthenticated();
    }
    let Some(crl) = &config.client_crl else {
        return verifier.build().map(Some).map_err(|error| wrong(error.to_string()));
    };
    let wrong = |error: String| ("/client_crl".to_owned(), format!("{}: {error}", crl.display()));
    let lists = read_lists(&folder.join(crl)).map_err(wrong)?;
    // Whoever keeps a new list from arriving must not keep a revoked certificate good.
    verifier = verifier.with_crls(lists).enforce_revocation_expiration();
    if config.client_crl_scope == CrlScope::Leaf {
        verifier = verifier.only_check_end_entity_revocation();
    }
    verifier.build().map(Some).map_err(|error| wrong(error.to_string()))
}

fn read_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let lists = CertificateRevocationListDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let lists: Vec<_> = lists.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if lists.is_empty() { Err("has no revocation list".to_owned()) } else { Ok(lists) }
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
