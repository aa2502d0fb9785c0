//! Reads everything that is configured, and makes a snapshot of it if anything changed.

mod keep;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::Source;
use super::files::{Files, signatures_beside};
use super::image::Pulled;
use super::last_good::{Good, GoodPlugin, LastGood};
use super::named::named_files;
use super::sources::Sources;
use super::trust::Trust;
use crate::config::{CompilerConfig, Config, Document, Faults, Place, SourceConfig};
use crate::plugin::{Compiler, Hashed, SharedPlugin, hash_of};
use crate::snapshot::{Inputs, Shared, Snapshot};
use crate::telemetry::Metrics;

/// Reads everything that is configured.
#[derive(Debug)]
pub struct Loader {
    source: Source,
    files: Files,
    sources: Sources,
    /// Plugins by name: the last good one of each.
    pub(super) plugins: BTreeMap<String, SharedPlugin>,
    /// The version before the last good one, for when that one must be taken out.
    pub(super) earlier: BTreeMap<String, SharedPlugin>,
    /// The hash of the configuration's text at the last look.
    document: Option<String>,
    /// The hash of the newest file of each plugin, and why it cannot be used.
    pub(super) newest: BTreeMap<String, (String, Option<String>)>,
    /// The hash of each newest file that the operator does not accept, and why.
    distrusted: BTreeMap<String, (String, String)>,
    /// The signatures with which files were accepted, by the file's hash.
    signatures: BTreeMap<String, String>,
    /// Since when each plugin's newest file cannot be used, and why.
    refused: BTreeMap<String, (String, SystemTime)>,
    /// The hash of everything at the last look.
    seen: Option<String>,
    /// What is kept for the next start; absent where nothing is.
    last_good: Option<LastGood>,
    /// What is read in place of what is configured.
    instead: Option<Good>,
}

/// Where a plugin is found.
enum Origin<'a> {
    File(PathBuf),
    Source(&'a SourceConfig),
    Kept(GoodPlugin),
}

/// What there is of a plugin.
struct Offer {
    hash: String,
    signatures: Option<String>,
    /// Absent where the file is as it was at the last look.
    contents: Option<Hashed>,
    path: PathBuf,
}

/// What was read in a look.
#[derive(Debug)]
pub struct Loaded {
    /// A new snapshot; none if nothing changed since the last look.
    pub result: Result<Option<Arc<Snapshot>>, Faults>,
    /// Every file that was read or missed.
    pub files: BTreeSet<PathBuf>,
    /// Plugins whose newest file cannot be used, and why.
    pub broken: BTreeMap<String, String>,
    /// The hash of each such file, and since when it is known.
    pub refused: BTreeMap<String, (String, SystemTime)>,
    /// Plugins that serve on although their file is gone.
    pub missing: BTreeSet<String>,
    /// Plugins in the drop folder that nothing uses: they are checked and not prepared.
    pub unused: BTreeSet<String>,
    /// What to keep for the next start once it serves.
    pub(super) good: Option<Good>,
    /// Whether everything was as at the last look.
    pub looked_again: bool,
    /// When.
    pub at: SystemTime,
}

impl Loader {
    /// Reads from this source.
    #[must_use]
    pub fn new(source: Source) -> Self {
        let sources = Sources::new(source.cache.clone());
        Self {
            source,
            files: Files::default(),
            sources,
            plugins: BTreeMap::new(),
            earlier: BTreeMap::new(),
            document: None,
            newest: BTreeMap::new(),
            distrusted: BTreeMap::new(),
            signatures: BTreeMap::new(),
            refused: BTreeMap::new(),
            seen: None,
            last_good: None,
            instead: None,
        }
    }

    /// The folders in which the files are.
    #[must_use]
    pub fn folders(&self, files: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for file in files.iter().chain([&self.source.config]) {
            if file.is_dir() {
                folders.insert(file.clone());
            }
            let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            folders.insert(parent.to_path_buf());
        }
        folders
    }

    /// Looks at everything.
    #[must_use]
    pub fn load(&mut self, previous: Option<&Arc<Snapshot>>, shared: &Shared) -> Loaded {
        let mut loaded = Loaded {
            result: Ok(None),
            files: BTreeSet::new(),
            broken: BTreeMap::new(),
            refused: BTreeMap::new(),
            missing: BTreeSet::new(),
            unused: BTreeSet::new(),
            good: None,
            looked_again: false,
            at: SystemTime::now(),
        };
        let document = match self.document(&mut loaded) {
            Ok(document) => document,
            Err(faults) => {
                let hash = hash_of(faults.to_string().as_bytes());
                loaded.looked_again = self.seen.replace(hash.clone()) == Some(hash);
                loaded.result = Err(faults);
                return loaded;
            }
        };
        let (config, faults) = Config::read(&document);
        let text = hash_of(document.value.to_string().as_bytes());
        if self.document.replace(text.clone()).is_some_and(|known| known != text) {
            self.lift_quarantine();
        }
        let mut hashes = vec![text];
        self.plugins(&document, &config, (&mut loaded, &mut hashes), shared);
        self.referenced(&document, &config, &mut loaded, &mut hashes);
        loaded.good = self.good(&document, &config);
        let hash = hash_of(hashes.join(" ").as_bytes());
        // A file that cannot be used changes what is said and not what is served.
        let seen = hash_of(format!("{hash} {:?} {:?}", loaded.broken, loaded.missing).as_bytes());
        if self.seen.replace(seen.clone()) == Some(seen) {
            loaded.looked_again = true;
            return loaded;
        }
        if previous.is_some_and(|previous| previous.hash == hash) {
            return loaded;
        }
        let inputs = Inputs {
            document: &document,
            config,
            faults,
            plugins: self.plugins.clone(),
            unused: loaded.unused.clone(),
            broken: loaded.broken.clone(),
            hash,
            previous: previous.cloned(),
        };
        loaded.result = Snapshot::build(&inputs, shared).map(|snapshot| Some(Arc::new(snapshot)));
        loaded
    }

    fn document(&self, loaded: &mut Loaded) -> Result<Document, Faults> {
        if let Some(good) = &self.instead {
            return Document::of(&self.source.config, &good.texts, &self.source.environment);
        }
        // Two reads that agree: a file that is being written is not taken half.
        let mut last = None;
        for _ in 0..DOCUMENT_READS_MAX {
            let document = Document::read(&self.source.config, &self.source.environment);
            let seen = match &document {
                Ok(document) => hash_of(format!("{:?}", document.sources).as_bytes()),
                Err(faults) => faults.to_string(),
            };
            if last.replace(seen.clone()) == Some(seen) {
                if let Ok(document) = &document {
                    loaded.files.extend(document.sources.iter().map(|(path, _)| path.clone()));
                }
                return document;
            }
            std::thread::sleep(STILL);
        }
        let mut faults = Faults::default();
        let place = Place { file: self.source.config.display().to_string().into(), line: 0 };
        faults.add(&place, "", "is still being written");
        Err(faults)
    }

    /// Looks at what is new in the drop folder. A file that is gone or cannot be used leaves the last good one.
    fn plugins(
        &mut self,
        document: &Document,
        config: &Config,
        (loaded, hashes): (&mut Loaded, &mut Vec<String>),
        shared: &Shared,
    ) {
        let folder = document.folder.join(&config.plugins.folder);
        loaded.files.insert(folder.clone());
        let components = config.upstreams.values().filter_map(|upstream| upstream.component.as_ref());
        let components = components.map(|component| &component.plugin);
        let used: BTreeSet<&String> = config.policies.values().map(|policy| &policy.plugin).chain(components).collect();
        let trust = Trust(&config.plugins);
        let mut present = BTreeSet::new();
        self.distrusted.clear();
        self.sources.retain(&config.plugins.sources);
        let mut found = self.drop_folder(&folder);
        found.extend(config.plugins.sources.iter().map(|(name, source)| (name.clone(), Origin::Source(source))));
        for (name, origin) in found {
            let is_new = present.insert(name.clone());
            let compiler = (&*shared.compiler, &config.plugins.compiler);
            let is_source = matches!(origin, Origin::Source(_));
            let offer = if is_new {
                self.offer(&name, origin, (&document.folder, &shared.metrics))
            } else {
                Err("is in the drop folder and in `plugins.sources` as well: take one of them away".to_owned())
            };
            let hash = offer.as_ref().ok().map(|offer| offer.hash.clone());
            let looked_at = offer.and_then(|offer| {
                self.accept(&name, offer, used.contains(&name), (&trust, compiler)).map_err(|error| error.to_string())
            });
            // A source names one digest: no other may stand in for it.
            if is_source && self.plugins.get(&name).is_some_and(|plugin| Some(plugin.hash()) != hash.as_deref()) {
                self.plugins.remove(&name);
            }
            if let Err(error) = looked_at {
                self.newest.insert(name.clone(), (String::new(), Some(error)));
            }
            if let Some((_, Some(error))) = self.newest.get(&name) {
                loaded.broken.insert(name.clone(), error.clone());
            }
            if let Some((_, error)) = self.distrusted.get(&name) {
                loaded.broken.insert(name.clone(), error.clone());
            }
        }
        // What a digest names has no earlier version.
        self.earlier.retain(|name, _| !config.plugins.sources.contains_key(name));
        self.take_out(config, loaded);
        let Self { plugins, signatures, .. } = self;
        // What served before serves on only as long as the operator would accept it now.
        plugins.retain(|name, plugin| {
            let accepted = trust.check(name, plugin.hash(), signatures.get(plugin.hash()).map(String::as_str));
            used.contains(name) && accepted.is_ok()
        });
        self.earlier.retain(|name, _| used.contains(name));
        let kept = plugins.values().chain(self.earlier.values()).map(|plugin| plugin.hash().to_owned());
        let kept: BTreeSet<String> = kept.collect();
        signatures.retain(|hash, _| kept.contains(hash));
        self.newest.retain(|name, _| present.contains(name));
        self.note_refused(loaded);
        loaded.missing = self.plugins.keys().filter(|name| !present.contains(*name)).cloned().collect();
        loaded.unused = present.into_iter().filter(|name| !used.contains(name)).collect();
        for (name, plugin) in &self.plugins {
            hashes.push(format!("{name}={}", plugin.hash()));
        }
    }

    /// Notes since when each file that cannot be used is known.
    fn note_refused(&mut self, loaded: &mut Loaded) {
        self.refused.retain(|name, (error, _)| loaded.broken.get(name) == Some(error));
        for (name, error) in &loaded.broken {
            let (_, since) = self.refused.entry(name.clone()).or_insert_with(|| (error.clone(), loaded.at));
            let distrusted = self.distrusted.get(name).map(|(hash, _)| hash);
            let hash = distrusted.or(self.newest.get(name).map(|(hash, _)| hash)).cloned().unwrap_or_default();
            loaded.refused.insert(name.clone(), (hash, *since));
        }
    }

    /// What there is of a plugin.
    fn offer(
        &mut self,
        name: &str,
        origin: Origin<'_>,
        (folder, metrics): (&Path, &Arc<Metrics>),
    ) -> Result<Offer, String> {
        match origin {
            Origin::File(path) => {
                let (hash, contents) = self.files.read(&path).map_err(|error| error.to_string())?;
                let signatures = signatures_beside(&path).map_err(|error| error.to_string())?;
                Ok(Offer { hash, signatures, contents, path })
            }
            Origin::Kept(GoodPlugin { hash, signatures }) => {
                let kept = self.last_good.as_ref().ok_or("is not kept")?;
                let file = kept.plugin(&hash).map_err(|error| error.to_string())?;
                Ok(Offer { hash, signatures, contents: Some(file), path: PathBuf::new() })
            }
            Origin::Source(source) => {
                let Pulled { file, signatures } = self.sources.plugin((name, source), folder, metrics)?;
                let hash = file.hash().to_owned();
                Ok(Offer { hash, signatures, contents: Some(file), path: PathBuf::new() })
            }
        }
    }

    /// Looks at what there is of a plugin, if the operator accepts it.
    fn accept(
        &mut self,
        name: &str,
        offer: Offer,
        used: bool,
        (trust, compiler): (&Trust<'_>, (&Compiler, &CompilerConfig)),
    ) -> std::io::Result<()> {
        let Offer { hash, signatures, .. } = &offer;
        if let Err(why) = trust.check(name, hash, signatures.as_deref()) {
            if self.refused.get(name).is_none_or(|(known, _)| *known != why) {
                tracing::error!(plugin = name, error = why, "plugin refused");
            }
            self.distrusted.insert(name.to_owned(), (hash.clone(), why));
            return Ok(());
        }
        let (hash, signatures) = (hash.clone(), signatures.clone());
        self.plugin(name, offer, used, compiler)?;
        self.signatures.remove(&hash);
        self.signatures.extend(signatures.map(|text| (hash, text)));
        Ok(())
    }

    /// Looks at a plugin, if it is new.
    fn plugin(
        &mut self,
        name: &str,
        Offer { hash, contents, path, .. }: Offer,
        used: bool,
        (compiler, bounds): (&Compiler, &CompilerConfig),
    ) -> std::io::Result<()> {
        let known = self.newest.get(name).filter(|(known, _)| *known == hash);
        let loaded = self.plugins.get(name).is_some_and(|plugin| plugin.hash() == hash);
        if known.is_some_and(|(_, error)| error.is_some() || loaded || !used) {
            return Ok(());
        }
        if loaded {
            self.newest.insert(name.to_owned(), (hash, None));
            return Ok(());
        }
        let contents = match contents {
            Some(contents) => contents,
            None => self.files.read_again(&path, &hash)?,
        };
        let error = match compiler.check(name, contents.clone(), bounds) {
            Ok(plugin) => {
                if used {
                    if let Some(last_good) = &self.last_good {
                        last_good.keep_plugin(&contents);
                    }
                    tracing::info!(plugin = name, hash, size = plugin.size(), "plugin loaded");
                    let before = self.plugins.insert(name.to_owned(), Arc::new(plugin));
                    if let Some(before) = before.filter(|before| !before.health.is_out()) {
                        self.earlier.insert(name.to_owned(), before);
                    }
                }
                None
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(plugin = name, error, "plugin refused");
                Some(error)
            }
        };
        self.newest.insert(name.to_owned(), (hash, error));
        Ok(())
    }

    /// Files that the configuration names: their contents count as much as its own.
    fn referenced(&mut self, document: &Document, config: &Config, loaded: &mut Loaded, hashes: &mut Vec<String>) {
        for path in named_files(config) {
            let path = document.folder.join(path);
            let hash = self.files.read(&path).map_or_else(|error| error.to_string(), |(hash, _)| hash);
            hashes.push(format!("{}={hash}", path.display()));
            loaded.files.insert(path);
        }
    }
}

const DOCUMENT_READS_MAX: u32 = 40;
const STILL: std::time::Duration = std::time::Duration::from_millis(20);
