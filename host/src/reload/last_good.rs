//! Keeps the last good configuration for the next start: the text of its files, and the plugins of its drop folder.
//!
//! Keys, certificates and secrets are not kept. They are read from where they are, as are the variables of the environment
//! and what `${file:…}` names: what must not be written down is not written here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::sources::read_at_most;
use crate::plugin::{FILE_MAX, Hashed, hash_of};
use crate::shelf::Shelf;
use crate::telemetry::rfc3339;

/// Where the last good configuration of one configuration file or folder is kept.
#[derive(Debug)]
pub(super) struct LastGood {
    texts: Shelf,
    plugins: Shelf,
    /// What the configuration's path hashes to: several gateways may share a cache.
    name: String,
    /// What is kept now, and since when.
    kept: Option<(Good, SystemTime)>,
}

/// A configuration that served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Good {
    /// The path of the file or folder, so that a name that hashes alike is no mix-up.
    config: PathBuf,
    /// Its YAML files.
    pub(super) texts: Vec<(PathBuf, String)>,
    /// The plugins in use that came from its drop folder.
    pub(super) plugins: BTreeMap<String, GoodPlugin>,
}

/// A plugin's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GoodPlugin {
    pub(super) hash: String,
    pub(super) signatures: Option<String>,
}

/// What is written.
#[derive(Serialize, Deserialize)]
struct Entry {
    /// When it was kept.
    at: String,
    good: Good,
}

/// How often what is kept is marked as used: what nobody used in a month goes.
const MARK: Duration = Duration::from_secs(24 * 3600);
const TEXT_BYTES_MAX: u64 = 64 << 20;

impl LastGood {
    /// For the configuration at a path, in a cache.
    pub(super) fn new(cache: &Path, config: &Path) -> io::Result<Self> {
        let config = std::path::absolute(config)?;
        let name = hash_of(config.as_os_str().as_encoded_bytes());
        let shelf = |folder: &str, ending| Shelf::new(cache.join(folder), ending);
        Ok(Self { texts: shelf("good", "json"), plugins: shelf("good/plugins", "wasm"), name, kept: None })
    }

    /// What is good if it serves.
    pub(super) fn good(config: &Path, texts: Vec<(PathBuf, String)>, plugins: BTreeMap<String, GoodPlugin>) -> Good {
        Good { config: std::path::absolute(config).unwrap_or_default(), texts, plugins }
    }

    /// Keeps a plugin's file, for when a configuration that uses it is kept.
    pub(super) fn keep_plugin(&self, file: &Hashed) {
        if self.plugins.open(file.hash()).is_ok() {
            return;
        }
        let folder = std::fs::create_dir_all(self.plugins.folder());
        if let Err(error) = folder.and_then(|()| self.plugins.keep(file.hash(), &[file.bytes()])) {
            tracing::warn!(%error, "a plugin cannot be kept for the next start");
        }
    }

    /// Keeps what serves, in place of what was kept before.
    pub(super) fn keep(&mut self, good: &Good) {
        let known = self.kept.as_ref().filter(|(kept, _)| kept == good);
        if known.is_some_and(|(_, at)| at.elapsed().is_ok_and(|since| since < MARK)) {
            return;
        }
        match self.write(good) {
            Ok(()) => self.kept = Some((good.clone(), SystemTime::now())),
            Err(error) => tracing::warn!(%error, "the last good configuration cannot be kept for the next start"),
        }
    }

    /// Marks what is kept as used, now and then.
    pub(super) fn mark(&mut self) {
        if let Some((good, _)) = self.kept.clone() {
            self.keep(&good);
        }
    }

    fn write(&self, good: &Good) -> io::Result<()> {
        for plugin in good.plugins.values() {
            // Opening it marks it as used.
            self.plugins.open(&plugin.hash)?;
        }
        std::fs::create_dir_all(self.texts.folder())?;
        let entry = Entry { at: rfc3339(SystemTime::now()), good: good.clone() };
        self.texts.keep(&self.name, &[&serde_json::to_vec(&entry)?])?;
        File::open(self.texts.path(&self.name))?.sync_all()?;
        self.texts.clean();
        self.plugins.clean();
        Ok(())
    }

    /// What was kept last, and when.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn read(&self, config: &Path) -> anyhow::Result<(Good, String)> {
        let file = self.texts.open(&self.name).context("none was kept")?;
        let path = self.texts.path(&self.name);
        let metadata = file.metadata()?;
        if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
            bail!("{} is not ours alone", path.display());
        }
        let Entry { at, good } = serde_json::from_slice(&read_at_most(file, TEXT_BYTES_MAX)?)
            .with_context(|| format!("{} is broken", path.display()))?;
        if good.config != std::path::absolute(config)? {
            bail!("{} is another configuration's", path.display());
        }
        Ok((good, at))
    }

    /// A plugin's file.
    ///
    /// # Errors
    /// Where it is not kept, or is not what it was.
    pub(super) fn plugin(&self, hash: &str) -> io::Result<Hashed> {
        let mut bytes = Vec::new();
        self.plugins.open(hash)?.take(FILE_MAX).read_to_end(&mut bytes)?;
        let file = Hashed::new(bytes);
        if file.hash() != hash {
            return Err(io::Error::other("what was kept is not what it was"));
        }
        Ok(file)
    }
}
