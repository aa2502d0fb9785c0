//! Providers of models as data: the catalogue, and what an upstream takes from an entry of it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::config::{
    CredentialConfig, CredentialStyle, EndpointConfig, LlmDialect, ProviderConfig, SecretText, ThoughtsField,
    UpstreamConfig, UpstreamCredential, unknown,
};

/// What policies are told of an upstream's provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub dialect: LlmDialect,
    /// What stands before the fixed part of its paths: nothing, or `/` and more, without a last `/`.
    pub path_prefix: String,
    /// Whether it knows `max_tokens` only.
    pub older_max_tokens: bool,
    /// In which field it wants earlier thoughts back.
    pub thoughts: ThoughtsField,
}

/// Providers by name.
pub type Providers = BTreeMap<String, ProviderConfig>;

/// A fault, with a pointer into the upstream.
type Fault = (String, String);

/// The providers that are known without configuration.
#[must_use]
pub fn catalogue() -> &'static Providers {
    // A test proves that it can be read.
    static CATALOGUE: LazyLock<Providers> =
        LazyLock::new(|| serde_json::from_str(include_str!("provider/catalogue.json")).unwrap_or_default());
    &CATALOGUE
}

/// An upstream with what it takes from its provider; what it says itself stays.
///
/// # Errors
/// Every fault, with a pointer into the upstream.
pub fn supply(upstream: &UpstreamConfig, own: &Providers) -> Result<(UpstreamConfig, Option<Provider>), Vec<Fault>> {
    let one = |at: &str, message: String| Err(vec![(at.to_owned(), message)]);
    let Some(name) = &upstream.provider else {
        return match (&upstream.credential, upstream.places.is_empty()) {
            (Some(UpstreamCredential::Key(_)), _) => {
                let message = "a key alone needs a `provider`; or say how it is shown, as in `{ bearer: KEY }`";
                one("/credential", message.to_owned())
            }
            (_, false) => one("/places", "only a `provider` has places".to_owned()),
            _ => Ok((upstream.clone(), None)),
        };
    };
    if upstream.component.is_some() {
        return one("/provider", "a component has no provider: take one of them away".to_owned());
    }
    let Some(found) = own.get(name).or_else(|| catalogue().get(name)) else {
        let known = own.keys().chain(catalogue().keys()).map(String::as_str);
        return one("/provider", unknown("provider", name, known));
    };
    let mut faults = Vec::new();
    let mut supplied = upstream.clone();
    let (origin, path_prefix) = address(name, &found.base_url, upstream).unwrap_or_else(|fault| {
        faults.push(fault);
        Default::default()
    });
    if supplied.endpoints.is_empty() {
        supplied.endpoints = vec![EndpointConfig::at(origin)];
    }
    match &mut supplied.credential {
        Some(UpstreamCredential::Key(key)) => match way(name, &found.credential, key) {
            Ok(way) => supplied.credential = Some(UpstreamCredential::Way(way)),
            Err(message) => faults.push(("/credential".to_owned(), message)),
        },
        Some(UpstreamCredential::Way(CredentialConfig::AwsSigv4(aws))) if aws.region.is_none() => {
            aws.region = upstream.places.get("region").cloned();
        }
        _ => {}
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let provider = Provider {
        name: name.clone(),
        dialect: found.dialect,
        path_prefix,
        older_max_tokens: found.older_max_tokens,
        thoughts: found.thoughts,
    };
    Ok((supplied, Some(provider)))
}

/// What a provider's key becomes.
fn way(name: &str, style: &CredentialStyle, key: &SecretText) -> Result<CredentialConfig, String> {
    let instead = |form: &str| Err(format!("provider {name:?} is shown no key alone: write `{form}`"));
    match style {
        CredentialStyle::Bearer => Ok(CredentialConfig::Bearer(key.clone())),
        CredentialStyle::Header(header) => Ok(CredentialConfig::Header { name: header.clone(), value: key.clone() }),
        CredentialStyle::Query(parameter) => {
            Ok(CredentialConfig::Query { name: parameter.clone(), value: key.clone() })
        }
        CredentialStyle::AwsSigv4 => instead("{ aws_sigv4: { access_key_id: …, secret_access_key: … } }"),
        CredentialStyle::GoogleServiceAccount => instead("{ google_service_account: { key_file: … } }"),
        CredentialStyle::None => Err(format!("provider {name:?} wants no key: take it away, or say how it is shown")),
    }
}

/// The origin and the path of a base URL, its places filled.
fn address(name: &str, base_url: &str, upstream: &UpstreamConfig) -> Result<(String, String), Fault> {
    let mut url = String::new();
    let mut rest = base_url;
    let mut wanted = Vec::new();
    while let Some((before, after)) = rest.split_once('{') {
        let wrong = || ("/provider".to_owned(), format!("provider {name:?}: {base_url:?} has a `{{` without `}}`"));
        let (place, after) = after.split_once('}').ok_or_else(wrong)?;
        url.push_str(before);
        let fault = |message: String| (format!("/places/{place}"), message);
        match upstream.places.get(place) {
            Some(value) if is_plain(value) => url.push_str(value),
            Some(_) => return Err(fault(format!("{place} is made of letters, digits, `-`, `_` and `.`"))),
            None => return Err(fault(format!("provider {name:?} needs `places: {{ {place}: … }}`"))),
        }
        wanted.push(place);
        rest = after;
    }
    url.push_str(rest);
    if let Some(other) = upstream.places.keys().find(|place| !wanted.contains(&place.as_str())) {
        return Err((format!("/places/{other}"), unknown("place", other, wanted.into_iter())));
    }
    let url = url.trim_end_matches('/');
    let (scheme, after) = url
        .split_once("://")
        .ok_or_else(|| ("/provider".to_owned(), format!("provider {name:?}: {base_url:?} is no URL")))?;
    let (host, path) = match after.split_once('/') {
        Some((host, path)) => (host, format!("/{path}")),
        None => (after, String::new()),
    };
    Ok((format!("{scheme}://{host}"), path))
}

/// Whether a text can stand in a host's name or in a path.
fn is_plain(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && !text.starts_with('.') && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Providers, catalogue, supply};
    use crate::config::{CredentialStyle, UpstreamConfig};

    #[test]
    fn every_provider_is_well_formed_and_there_is_no_other_like_it() {
        let read: Providers = serde_json::from_str(include_str!("provider/catalogue.json")).unwrap();
        let lines = include_str!("provider/catalogue.json").lines().count() - 2;
        assert_eq!((read.len(), catalogue().len()), (lines, lines), "a name is there twice");
        assert!(read.len() >= 100, "{}", read.len());
        let mut seen = BTreeSet::new();
        for (name, provider) in &read {
            let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(!name.is_empty() && name.bytes().all(is_name), "{name}");
            assert!(!provider.title.is_empty(), "{name}");
            let url = &provider.base_url;
            let is_local = url.starts_with("http://127.0.0.1:");
            assert!(url.starts_with("https://") || is_local, "{name}: {url}");
            assert!(!url.ends_with('/') && !url.contains(['?', '#', ' ', '@']), "{name}: {url}");
            let is_same = (url, provider.dialect, format!("{:?}", provider.credential));
            assert!(is_local || seen.insert(is_same), "{name} is another's twin");
            let has_key = !matches!(
                provider.credential,
                CredentialStyle::None | CredentialStyle::AwsSigv4 | CredentialStyle::GoogleServiceAccount
            );
            assert_eq!(has_key, provider.key_variable.is_some(), "{name}");
            let variable = provider.key_variable.as_deref().unwrap_or("KEY");
            let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            assert!(variable.bytes().all(fits), "{name}: {variable}");
            let places = url.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
            let places = places.map(|(place, _)| (place.to_owned(), "place-1".to_owned())).collect();
            let upstream = UpstreamConfig { provider: Some(name.clone()), places, ..UpstreamConfig::default() };
            let (supplied, told) = supply(&upstream, &Providers::new()).unwrap();
            let (origin, told) = (&supplied.endpoints[0].url, told.unwrap());
            assert_eq!(format!("{origin}{}", told.path_prefix).matches("place-1").count(), url.matches('{').count());
            assert!(
                origin.parse::<http::Uri>().is_ok_and(|uri| uri.path() == "/" && uri.query().is_none()),
                "{origin}"
            );
        }
    }
}
