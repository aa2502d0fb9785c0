//! A plugin in an OCI image: the manifest that a digest names, and the one layer that is WebAssembly.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use bytes::Bytes;
use serde::Deserialize;

use crate::config::Digest;
use crate::plugin::{FILE_MAX, Hashed, hash_of};

/// A plugin as it came from a source.
#[derive(Debug, Clone)]
pub(super) struct Pulled {
    /// The file.
    pub(super) file: Hashed,
    /// The signatures that its manifest carries.
    pub(super) signatures: Option<String>,
}

/// The part of an image manifest that matters here (OCI image specification 1.1).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    media_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// What a manifest says of a blob.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
}

/// The media type of an image manifest.
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media types of a component: its configuration, and the file.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";
/// Where a manifest carries signatures, in the form of `NAME.wasm.sig`.
const SIGNATURES: &str = "dev.gatewright.signatures";
/// Bytes of a manifest.
pub(super) const MANIFEST_MAX: u64 = 1 << 20;

impl Manifest {
    /// The manifest of these bytes, which must have this digest.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(bytes: &[u8], digest: &Digest) -> anyhow::Result<Self> {
        verify(&hash_of(bytes), digest).context("the manifest")?;
        let manifest: Self = serde_json::from_slice(bytes).context("the manifest is none of an OCI image")?;
        if let Some(kind) = manifest.media_type.as_deref().filter(|kind| *kind != MANIFEST) {
            bail!("{digest} is of media type {kind}: name the digest of an image manifest ({MANIFEST})");
        }
        Ok(manifest)
    }

    /// The one layer that is WebAssembly, and its digest.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn layer(&self) -> anyhow::Result<(Digest, u64)> {
        let config = self.config.as_ref().map_or("none", |config| config.media_type.as_str());
        if config != CONFIG {
            bail!("its configuration is of media type {config}, not {CONFIG}");
        }
        let [layer] = self.layers.as_slice() else { bail!("has {} layers, not one of {LAYER}", self.layers.len()) };
        if layer.media_type != LAYER {
            bail!("its layer is of media type {}, not {LAYER}", layer.media_type);
        }
        if layer.size > FILE_MAX {
            bail!("its layer is larger than {} MiB", FILE_MAX >> 20);
        }
        Ok((layer.digest.parse().map_err(anyhow::Error::msg)?, layer.size))
    }

    /// The plugin, of its layer's bytes.
    ///
    /// # Errors
    /// Where they are not those that the manifest names.
    pub(super) fn plugin(&self, file: Bytes) -> anyhow::Result<Pulled> {
        let (digest, size) = self.layer()?;
        if file.len() as u64 != size {
            bail!("the layer is {} bytes long, and the manifest says {size}", file.len());
        }
        let file = Hashed::new(file);
        verify(file.hash(), &digest).context("the layer")?;
        Ok(Pulled { file, signatures: self.annotations.get(SIGNATURES).cloned() })
    }
}

fn verify(hash: &str, digest: &Digest) -> anyhow::Result<()> {
    if hash != digest.hex() {
        bail!("has the digest sha256:{hash}, not {digest}");
    }
    Ok(())
}
