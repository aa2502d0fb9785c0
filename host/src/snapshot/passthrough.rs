//! The names whose TLS is not ended at a listener, and where it goes.

use std::collections::HashMap;

use rustls::pki_types::DnsName;

use crate::config::{Config, ListenerConfig, unknown};

/// The names of a listener whose TLS is not ended there.
#[derive(Debug, Default)]
pub struct Passthrough {
    /// Upstreams by name; a wildcard by what follows its first label, the dot included.
    names: HashMap<String, String>,
}

impl Passthrough {
    /// Reads the names.
    ///
    /// # Errors
    /// What is wrong, each with a pointer into `passthrough`.
    pub(super) fn build(config: &ListenerConfig, all: &Config) -> Result<Self, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let mut names = HashMap::new();
        for (name, upstream) in &config.passthrough {
            let at = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            let suffix = name.strip_prefix('*').filter(|suffix| suffix.starts_with('.'));
            if DnsName::try_from(suffix.map_or(name.as_str(), |suffix| suffix.trim_start_matches('.'))).is_err() {
                faults.push((at.clone(), format!("{name:?} is no DNS name, and no `*.` before one")));
            }
            match all.upstreams.get(upstream) {
                None => faults.push((at, unknown("upstream", upstream, all.upstreams.keys().map(String::as_str)))),
                Some(target) if target.component.is_some() => {
                    faults.push((at, format!("upstream {upstream:?} is a component: only endpoints take bytes")));
                }
                Some(_) => {}
            }
            if names.insert(suffix.unwrap_or(name).to_ascii_lowercase(), upstream.clone()).is_some() {
                faults.push((format!("/{name}"), format!("{name:?} is here twice")));
            }
        }
        if faults.is_empty() { Ok(Self { names }) } else { Err(faults) }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The upstream for a name, if its TLS is not ended here.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        let wildcard = || self.names.get(name.get(name.find('.')?..)?);
        self.names.get(&name).or_else(wildcard).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::Passthrough;

    #[test]
    fn the_exact_name_comes_first_and_a_wildcard_is_for_one_label() {
        let names = [("a.test", "a"), (".a.test", "any"), ("b.a.test", "b")];
        let names = names.map(|(name, upstream)| (name.to_owned(), upstream.to_owned()));
        let passthrough = Passthrough { names: HashMap::from(names) };
        let cases = [
            ("a.test", Some("a")),
            ("A.Test", Some("a")),
            ("b.a.test", Some("b")),
            ("c.a.test", Some("any")),
            ("d.c.a.test", None),
            ("test", None),
            ("", None),
        ];
        for (name, upstream) in cases {
            assert_eq!(passthrough.find(name), upstream, "{name}");
        }
    }
}
