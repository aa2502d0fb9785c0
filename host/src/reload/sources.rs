//! Plugins from elsewhere than the drop folder: image layouts on disk, and registries. What a digest names never
//! changes, so that each is read once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::blobs::Blobs;
use super::image::{MANIFEST_MAX, Manifest, Pulled};
use super::registry::Registry;
use crate::config::{Digest, LayoutConfig, RegistryConfig, SourceConfig};
use crate::telemetry::Metrics;

/// Plugins from elsewhere, as they were read.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: BTreeMap<String, Known>,
    /// Where pulled blobs are kept; nowhere if absent.
    cache: Option<PathBuf>,
}

#[derive(Debug)]
struct Known {
    config: SourceConfig,
    pulled: Result<Pulled, String>,
    at: Instant,
}

/// Before a registry that failed is asked again.
const RETRY: Duration = Duration::from_secs(10);
/// What pulling one plugin may take.
const PATIENCE: Duration = Duration::from_secs(60);

impl Sources {
    pub(super) const fn new(cache: Option<PathBuf>) -> Self {
        Self { known: BTreeMap::new(), cache }
    }

    /// Forgets what is no longer configured.
    pub(super) fn retain(&mut self, config: &BTreeMap<String, SourceConfig>) {
        self.known.retain(|name, _| config.contains_key(name));
    }

    /// The plugin of a source.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn plugin(
        &mut self,
        (name, config): (&str, &SourceConfig),
        folder: &Path,
        metrics: &Arc<Metrics>,
    ) -> Result<Pulled, String> {
        if let Some(known) = self.known.get(name).filter(|known| known.config == *config) {
            let is_recent = matches!(config, SourceConfig::Registry(_)) && known.at.elapsed() < RETRY;
            if known.pulled.is_ok() || is_recent {
                return known.pulled.clone();
            }
        }
        let pulled = match config {
            SourceConfig::Layout(layout) => from_layout(layout, folder),
            SourceConfig::Registry(registry) => self.pull(registry, folder, metrics),
        };
        let pulled = pulled.map_err(|error| format!("{error:#}"));
        let known = Known { config: config.clone(), pulled: pulled.clone(), at: Instant::now() };
        self.known.insert(name.to_owned(), known);
        pulled
    }

    fn pull(&self, config: &RegistryConfig, folder: &Path, metrics: &Arc<Metrics>) -> anyhow::Result<Pulled> {
        let blobs = Blobs::new(self.cache.as_deref());
        let kept = blobs.read(&config.digest, MANIFEST_MAX).and_then(|bytes| {
            let manifest = Manifest::read(&bytes, &config.digest).ok()?;
            let (layer, size) = manifest.layer().ok()?;
            manifest.plugin(blobs.read(&layer, size)?.into()).ok()
        });
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let pulling = async {
            let mut registry = Registry::new(config, folder, metrics)?;
            let bytes = registry.manifest().await?;
            let manifest = Manifest::read(&bytes, &config.digest)?;
            let (layer, size) = manifest.layer()?;
            let pulled = manifest.plugin(registry.blob(&layer, size).await?)?;
            blobs.keep(&config.digest, &bytes);
            blobs.keep(&layer, pulled.file.bytes());
            anyhow::Ok(pulled)
        };
        let pulled = runtime.block_on(async { tokio::time::timeout(PATIENCE, pulling).await });
        let pulled = pulled.with_context(|| format!("{} took longer than {PATIENCE:?}", config.image));
        pulled?.with_context(|| format!("pull {}@{}", config.image, config.digest))
    }
}

/// OCI image layout specification 1.1.
fn from_layout(config: &LayoutConfig, folder: &Path) -> anyhow::Result<Pulled> {
    let layout = folder.join(&config.path);
    let read = |path: &str, max| {
        let path = layout.join(path);
        let bytes = File::open(&path).map_err(anyhow::Error::from).and_then(|file| read_at_most(file, max));
        bytes.with_context(|| format!("read {}", path.display()))
    };
    let marker: serde_json::Value =
        serde_json::from_slice(&read("oci-layout", MANIFEST_MAX)?).context("oci-layout is no JSON")?;
    if marker.get("imageLayoutVersion").and_then(serde_json::Value::as_str) != Some("1.0.0") {
        bail!("{} is no OCI image layout of version 1.0.0", layout.display());
    }
    let blob = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let manifest = Manifest::read(&read(&blob(&config.digest), MANIFEST_MAX)?, &config.digest)?;
    let (layer, size) = manifest.layer()?;
    manifest.plugin(read(&blob(&layer), size)?.into())
}

/// A file's bytes; an error past `max` of them.
pub(super) fn read_at_most(file: File, max: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        bail!("is larger than {max} bytes");
    }
    Ok(bytes)
}
