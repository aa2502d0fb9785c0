//! Hints that something may have changed: events of the folders in which files are.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc;

use notify::{RecursiveMode, Watcher};

use super::Ask;

/// Watches folders, never files: a file that is replaced takes its watch with it.
pub(super) struct Watch {
    watcher: Option<notify::RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
}

impl Watch {
    /// Watches folders; where that cannot be done, the slow poll has to do.
    pub(super) fn start(asks: mpsc::Sender<Ask>, folders: &BTreeSet<PathBuf>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading is no change; everything else, an overflow or an error included, is a reason to look.
            let is_read = event.as_ref().is_ok_and(|event| event.kind.is_access() && !is_written(&event.kind));
            if !is_read && asks.send(Ask::Stirred).is_err() {
                tracing::debug!("the reloader has ended");
            }
        });
        let watcher = match watcher {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "folders cannot be watched; changes are found by the slow poll");
                None
            }
        };
        let mut watch = Self { watcher, folders: BTreeSet::new() };
        watch.follow(folders);
        watch
    }

    /// Watches these folders from here on. A folder that was made anew is watched anew.
    pub(super) fn follow(&mut self, folders: &BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.folders.difference(folders) {
            if let Err(error) = watcher.unwatch(gone) {
                tracing::debug!(%error, folder = %gone.display(), "folder is no longer watched");
            }
        }
        self.folders.retain(|folder| folders.contains(folder) && folder.is_dir());
        for folder in folders {
            if !self.folders.contains(folder) && watcher.watch(folder, RecursiveMode::NonRecursive).is_ok() {
                self.folders.insert(folder.clone());
            }
        }
    }
}

fn is_written(kind: &notify::EventKind) -> bool {
    matches!(kind, notify::EventKind::Access(notify::event::AccessKind::Close(notify::event::AccessMode::Write)))
}
