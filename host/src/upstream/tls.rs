//! TLS towards upstreams: whom to trust, and the gateway's own certificate.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::UpstreamConfig;

/// A client's side of TLS, and a hash of the files it came from.
#[derive(Debug)]
pub(super) struct UpstreamTls {
    /// Offers both protocols.
    pub(super) any: Arc<ClientConfig>,
    /// Offers HTTP/1.1 alone.
    pub(super) http1: Arc<ClientConfig>,
    /// Offers HTTP/2 alone.
    pub(super) http2: Arc<ClientConfig>,
    pub(super) files: u64,
}

impl UpstreamTls {
    fn new(config: &ClientConfig, files: u64) -> Arc<Self> {
        let offering = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        let (any, http1, http2) = (offering(&[b"h2", b"http/1.1"]), offering(&[b"http/1.1"]), offering(&[b"h2"]));
        Arc::new(Self { any, http1, http2, files })
    }
}

/// The client's side of TLS as configured.
///
/// # Errors
/// What is wrong, with a pointer into `tls`.
pub(super) fn client_config(config: &UpstreamConfig, folder: &Path) -> Result<Arc<UpstreamTls>, (String, String)> {
    let mut files = DefaultHasher::new();
    if !config.endpoints.iter().any(|endpoint| endpoint.url.starts_with("https:")) {
        let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        return Ok(UpstreamTls::new(&config, 0));
    }
    let mut read = |at: &str, path: &Path| {
        let bytes = std::fs::read(folder.join(path))
            .map_err(|error| (at.to_owned(), format!("{}: {error}", path.display())))?;
        bytes.hash(&mut files);
        Ok::<_, (String, String)>(bytes)
    };
    let mut roots = RootCertStore::empty();
    if let Some(path) = &config.tls.ca {
        let wrong = |error: String| ("/ca".to_owned(), format!("{}: {error}", path.display()));
        for certificate in certificates(&read("/ca", path)?).map_err(wrong)? {
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
    } else {
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs);
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match &config.tls.client_certificate {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let at = "/client_certificate";
            let wrong = |error: String| (at.to_owned(), format!("{}: {error}", own.cert.display()));
            let chain = certificates(&read(at, &own.cert)?).map_err(wrong)?;
            let key = PrivateKeyDer::from_pem_slice(&read(at, &own.key)?).map_err(|error| wrong(error.to_string()))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| wrong(error.to_string()))?
        }
    };
    Ok(UpstreamTls::new(&config, files.finish()))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => Err("has no certificate".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(error.to_string()),
    }
}
