//! `gatewright providers`: whom upstreams can name.

use std::fmt::Write as _;

use super::{ProvidersArgs, print};
use crate::config::CredentialStyle;
use crate::provider::catalogue;

pub(super) fn providers(args: ProvidersArgs) -> anyhow::Result<u8> {
    if args.json {
        return print(&serde_json::to_string_pretty(catalogue())?);
    }
    let width = catalogue().keys().map(String::len).max().unwrap_or_default();
    let mut text = String::new();
    for (name, provider) in catalogue() {
        let key = match (&provider.key_variable, &provider.credential) {
            (Some(variable), _) => variable.as_str(),
            (None, CredentialStyle::AwsSigv4) => "aws_sigv4",
            (None, CredentialStyle::GoogleServiceAccount) => "google_service_account",
            (None, _) => "-",
        };
        let (dialect, url) = (provider.dialect.name(), &provider.base_url);
        writeln!(text, "{name:width$}  {dialect:16}  {key:30}  {url}")?;
    }
    print(text.trim_end())
}
