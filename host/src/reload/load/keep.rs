//! The last good configuration of the loader: kept once it serves, and read where what is configured cannot serve.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use super::super::files::wasm_files;
use super::super::last_good::{Good, GoodPlugin, LastGood};
use super::{Loaded, Loader, Origin};
use crate::config::{Config, Document};
use crate::snapshot::{Shared, Snapshot};

impl Loader {
    /// Keeps the last good configuration for the next start, if there is a cache.
    #[must_use]
    pub fn keeping(mut self) -> Self {
        let Some(cache) = &self.source.cache else { return self };
        match LastGood::new(cache, &self.source.config) {
            Ok(last_good) => self.last_good = Some(last_good),
            Err(error) => tracing::warn!(%error, "the last good configuration cannot be kept"),
        }
        self
    }

    /// Keeps what was read, now that it serves; `None` marks what is kept as used.
    pub(in crate::reload) fn keep(&mut self, loaded: Option<&Loaded>) {
        let Some(last_good) = &mut self.last_good else { return };
        match loaded.and_then(|loaded| loaded.good.as_ref()) {
            Some(good) => last_good.keep(good),
            None => last_good.mark(),
        }
    }

    /// Reads what was kept last in place of what is configured, and says when it was kept. Plugins that are good there
    /// serve until their files are good again.
    ///
    /// # Errors
    /// Why it cannot serve.
    pub fn fall_back(&mut self, shared: &Shared) -> anyhow::Result<(Arc<Snapshot>, String)> {
        let last_good = self.last_good.take().context("nothing is kept without a cache")?;
        let read = last_good.read(&self.source.config);
        let (good, at) = match read {
            Ok(read) => read,
            Err(error) => {
                self.last_good = Some(last_good);
                return Err(error);
            }
        };
        let mut other = Self { instead: Some(good), last_good: Some(last_good), ..Self::new(self.source.clone()) };
        let loaded = other.load(None, shared);
        self.last_good = other.last_good;
        let snapshot = loaded.result?.context("it is empty")?;
        for (name, plugin) in other.plugins {
            self.plugins.entry(name).or_insert(plugin);
        }
        self.signatures.extend(other.signatures);
        self.seen = None;
        Ok((snapshot, at))
    }

    /// What to keep for the next start: plugins from elsewhere than the drop folder are found again by their digests.
    pub(super) fn good(&self, document: &Document, config: &Config) -> Option<Good> {
        self.last_good.as_ref()?;
        let plugins = self.plugins.iter().filter(|(name, _)| !config.plugins.sources.contains_key(*name));
        let plugins = plugins.map(|(name, plugin)| {
            let signatures = self.signatures.get(plugin.hash()).cloned();
            (name.clone(), GoodPlugin { hash: plugin.hash().to_owned(), signatures })
        });
        Some(LastGood::good(&self.source.config, document.texts.clone(), plugins.collect()))
    }

    /// The plugins of the drop folder, or those that are kept of it.
    pub(super) fn drop_folder<'a>(&self, folder: &Path) -> Vec<(String, Origin<'a>)> {
        if let Some(good) = &self.instead {
            return good.plugins.iter().map(|(name, kept)| (name.clone(), Origin::Kept(kept.clone()))).collect();
        }
        let named = |path: PathBuf| Some((path.file_stem()?.to_str()?.to_owned(), Origin::File(path)));
        wasm_files(folder).into_iter().filter_map(named).collect()
    }
}
