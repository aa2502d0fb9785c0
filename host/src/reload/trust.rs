//! Whether a plugin's file is one that the operator accepts: its pin and its signatures.

use super::signature::Signature;
use crate::config::PluginsConfig;

/// What the operator says of plugins.
pub(super) struct Trust<'a>(pub(super) &'a PluginsConfig);

impl Trust<'_> {
    /// Whether a file of this SHA-256 may be the plugin of this name.
    ///
    /// # Errors
    /// Why it may not.
    pub(super) fn check(&self, name: &str, hash: &str, signatures: Option<&str>) -> Result<(), String> {
        let Self(config) = self;
        if let Some(pin) = config.pins.get(name)
            && pin.hex() != hash
        {
            return Err(format!("its digest is sha256:{hash}, and the configuration pins {pin}"));
        }
        let Some(signatures) = signatures else {
            return if config.require_signature { Err("is not signed, and must be".to_owned()) } else { Ok(()) };
        };
        let signatures = Signature::read_all(signatures).map_err(|error| format!("its signatures: {error:#}"))?;
        let trusted: Vec<_> = signatures.iter().filter(|one| config.trusted_keys.contains(&one.by)).collect();
        if let Some(broken) = trusted.iter().find(|one| !one.verifies(hash)) {
            return Err(format!("its signature by {} does not verify", broken.by));
        }
        if trusted.is_empty() && config.require_signature {
            let by: Vec<String> = signatures.iter().map(|one| one.by.to_string()).collect();
            return Err(format!("is signed by no trusted key (by: {})", by.join(", ")));
        }
        Ok(())
    }
}
