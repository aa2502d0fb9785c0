//! Keeps what was pulled from registries, by digest: who reads checks it, so that a file that is not what its name says is
//! as if it were not there.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::sources::read_at_most;
use crate::config::Digest;

/// A folder of blobs.
pub(super) struct Blobs(Option<PathBuf>);

/// Blobs that nothing asked for in this long go.
const UNUSED_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

impl Blobs {
    pub(super) fn new(cache: Option<&Path>) -> Self {
        Self(cache.map(|cache| cache.join("blobs/sha256")))
    }

    /// The bytes kept under a digest, unchecked.
    pub(super) fn read(&self, digest: &Digest, max: u64) -> Option<Vec<u8>> {
        let path = self.0.as_ref()?.join(digest.hex());
        let bytes = read_at_most(&path, max).ok()?;
        // The time of the last use decides what goes.
        let touched = std::fs::File::options().append(true).open(&path);
        if let Err(error) = touched.and_then(|file| file.set_modified(SystemTime::now())) {
            tracing::debug!(%error, "a kept blob cannot be marked as used");
        }
        Some(bytes)
    }

    /// Keeps bytes that have this digest. Where they cannot be kept, they are pulled again some day.
    pub(super) fn keep(&self, digest: &Digest, bytes: &[u8]) {
        let Some(folder) = &self.0 else { return };
        let draft = folder.join(format!(".{}.{}", digest.hex(), std::process::id()));
        let kept = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&draft, bytes))
            .and_then(|()| std::fs::rename(&draft, folder.join(digest.hex())));
        if let Err(error) = kept {
            tracing::warn!(%error, "what was pulled cannot be kept");
        }
        clean(folder);
    }
}

fn clean(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let unused = modified.ok().and_then(|modified| modified.elapsed().ok());
        if unused.is_some_and(|unused| unused > UNUSED_MAX)
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::debug!(%error, "an unused blob cannot be removed");
        }
    }
}
