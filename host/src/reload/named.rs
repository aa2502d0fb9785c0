//! The files that a configuration names, beside its own and plugins.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::config::{Config, CredentialConfig, KeySource, SecretConfig, UpstreamCredential, UpstreamTlsConfig};

/// Every file whose contents count as much as the configuration's own.
pub(super) fn named_files(config: &Config) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        files.extend(tls.client_ca.iter().chain(&tls.client_crl).cloned());
        files.extend(tls.certificates.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]));
    }
    for upstream in config.upstreams.values() {
        files.extend(of_tls(&upstream.tls));
        match upstream.credential.as_ref().and_then(UpstreamCredential::way) {
            Some(CredentialConfig::GoogleServiceAccount(google)) => {
                files.insert(google.key_file.clone());
                files.extend(of_tls(&google.tls));
            }
            Some(CredentialConfig::AzureEntra(azure)) => files.extend(of_tls(&azure.tls)),
            _ => {}
        }
    }
    for secret in config.secrets.values() {
        if let SecretConfig::File(path) = secret {
            files.insert(path.clone());
        }
    }
    for verifier in config.verifiers.values() {
        if let KeySource::JwksFile(path) | KeySource::PemFile(path) = &verifier.keys {
            files.insert(path.clone());
        }
    }
    files
}

fn of_tls(tls: &UpstreamTlsConfig) -> impl Iterator<Item = PathBuf> {
    let pairs = tls.client_certificate.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]);
    tls.ca.clone().into_iter().chain(pairs)
}
