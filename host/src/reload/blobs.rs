//! Keeps what was pulled from registries, by digest: who reads checks it, so that a file that is not what its name says is
//! as if it were not there.

use std::path::Path;

use super::sources::read_at_most;
use crate::config::Digest;
use crate::shelf::Shelf;

/// A folder of blobs; none where nothing is kept.
pub(super) struct Blobs(Option<Shelf>);

impl Blobs {
    pub(super) fn new(cache: Option<&Path>) -> Self {
        Self(cache.map(|cache| Shelf::new(cache.join("blobs/sha256"), "blob")))
    }

    /// The bytes kept under a digest, unchecked.
    pub(super) fn read(&self, digest: &Digest, max: u64) -> Option<Vec<u8>> {
        read_at_most(self.0.as_ref()?.open(digest.hex()).ok()?, max).ok()
    }

    /// Keeps bytes that have this digest. Where they cannot be kept, they are pulled again some day.
    pub(super) fn keep(&self, digest: &Digest, bytes: &[u8]) {
        let Some(shelf) = &self.0 else { return };
        let kept = std::fs::create_dir_all(shelf.folder()).and_then(|()| shelf.keep(digest.hex(), &[bytes]));
        if let Err(error) = kept {
            tracing::warn!(%error, "what was pulled cannot be kept");
        }
        shelf.clean();
    }
}
