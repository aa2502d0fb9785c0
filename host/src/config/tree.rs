//! Reads YAML files into one JSON value, and remembers on which line everything stands.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Value};

use super::fault::Faults;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as the operator named it.
    pub file: Arc<str>,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
}

/// Variables of the environment by name.
pub type Environment = HashMap<String, String>;

/// A merged configuration as it was written.
#[derive(Debug, Clone)]
pub struct Document {
    /// The value, with `${…}` resolved.
    pub value: Value,
    /// The folder that relative paths start from.
    pub folder: PathBuf,
    /// Every file that was read, `${file:…}` included, with its contents.
    pub sources: Vec<(PathBuf, Vec<u8>)>,
    /// The YAML files among them.
    pub texts: Vec<(PathBuf, String)>,
    places: HashMap<String, Place>,
    whole: Place,
}

impl Document {
    /// Reads a file, or every `*.yaml` and `*.yml` of a folder in the order of their names.
    ///
    /// # Errors
    /// Every fault of syntax, and every `${…}` that stands for nothing.
    pub fn read(path: &Path, environment: &Environment) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let mut document = Self::empty(path);
        match files(path) {
            Ok(files) if files.is_empty() => faults.add(&document.whole, "", "the folder has no *.yaml file"),
            Ok(files) => {
                for file in files {
                    document.merge_file(&file, environment, &mut faults);
                }
            }
            Err(error) => faults.add(&document.whole, "", format!("cannot be read: {error}")),
        }
        faults.or_ok(document)
    }

    /// As `read`, of files that were read before.
    ///
    /// # Errors
    /// As `read`.
    pub fn of(path: &Path, texts: &[(PathBuf, String)], environment: &Environment) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let mut document = Self::empty(path);
        for (file, text) in texts {
            document.merge_text(file, text.clone().into_bytes(), (environment, &mut faults));
        }
        faults.or_ok(document)
    }

    fn empty(path: &Path) -> Self {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
        Self {
            value: Value::Object(Map::new()),
            folder: folder.to_path_buf(),
            sources: Vec::new(),
            texts: Vec::new(),
            places: HashMap::new(),
            whole: Place { file: path.display().to_string().into(), line: 0 },
        }
    }

    /// Where the value at a pointer stands, or the nearest one around it.
    #[must_use]
    pub fn place(&self, pointer: &str) -> Place {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
                return place.clone();
            }
            match pointer.rsplit_once('/') {
                Some((parent, _)) => pointer = parent,
                None => return self.whole.clone(),
            }
        }
    }

    fn merge_file(&mut self, path: &Path, environment: &Environment, faults: &mut Faults) {
        match std::fs::read(path) {
            Ok(bytes) => self.merge_text(path, bytes, (environment, faults)),
            Err(error) => {
                let place = Place { file: path.display().to_string().into(), line: 0 };
                faults.add(&place, "", format!("cannot be read: {error}"));
            }
        }
    }

    fn merge_text(&mut self, path: &Path, bytes: Vec<u8>, (environment, faults): (&Environment, &mut Faults)) {
        let place = Place { file: path.display().to_string().into(), line: 0 };
        self.sources.push((path.to_path_buf(), bytes.clone()));
        let Ok(text) = String::from_utf8(bytes) else {
            return faults.add(&place, "", "is not UTF-8");
        };
        self.texts.push((path.to_path_buf(), text.clone()));
        let lists = self.value.as_object().into_iter().flatten();
        let offsets = lists.filter_map(|(name, value)| Some((name.clone(), value.as_array()?.len()))).collect();
        let mut reader = Reader { document: self, file: place.file.clone(), environment, faults, offsets };
        if let Some(Value::Object(members)) = reader.file(&text) {
            for (name, value) in members {
                self.merge_member(name, value, &place, faults);
            }
        }
    }

    /// Sections that are mappings or lists join over files; anything else may stand in one file only.
    fn merge_member(&mut self, name: String, value: Value, place: &Place, faults: &mut Faults) {
        let Value::Object(members) = &mut self.value else { return };
        match (members.get_mut(&name), value) {
            (None, value) => {
                members.insert(name, value);
            }
            (Some(Value::Array(existing)), Value::Array(more)) => existing.extend(more),
            (Some(Value::Object(existing)), Value::Object(more)) => {
                for (key, value) in more {
                    if existing.contains_key(&key) {
                        let at = format!("/{}/{}", escape(&name), escape(&key));
                        faults.add(
                            self.places.get(&at).unwrap_or(place),
                            at,
                            format!("{name} {key:?} is in two files"),
                        );
                    } else {
                        existing.insert(key, value);
                    }
                }
            }
            (Some(_), _) => {
                faults.add(place, format!("/{}", escape(&name)), format!("{name:?} is in two files"));
            }
        }
    }
}

/// A member's name as a part of an RFC 6901 pointer.
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads the events of one file.
struct Reader<'a> {
    document: &'a mut Document,
    file: Arc<str>,
    environment: &'a Environment,
    faults: &'a mut Faults,
    /// How many elements each list of the top level has from earlier files.
    offsets: HashMap<String, usize>,
}

type Events<'input> = Parser<'input, saphyr_parser::StrInput<'input>>;

/// A file nested deeper than this is refused, so that reading it cannot exhaust the stack.
const DEPTH_MAX: usize = 64;

impl Reader<'_> {
    fn file(&mut self, text: &str) -> Option<Value> {
        let mut events = Parser::new_from_str(text);
        loop {
            match self.next(&mut events)? {
                (Event::StreamEnd | Event::DocumentEnd, _) => return Some(Value::Object(Map::new())),
                (Event::Nothing | Event::StreamStart | Event::DocumentStart(_), _) => {}
                (event, span) => {
                    let value = self.node(event, span, &mut events, "")?;
                    if value.is_null() {
                        return Some(Value::Object(Map::new()));
                    }
                    if !value.is_object() {
                        self.fault(1, "", "a configuration is a mapping with sections such as `routes:`");
                        return None;
                    }
                    return self.rest(&mut events).then_some(value);
                }
            }
        }
    }

    /// Whether nothing follows the first document.
    fn rest(&mut self, events: &mut Events<'_>) -> bool {
        loop {
            match self.next(events) {
                None => return false,
                Some((Event::StreamEnd, _)) => return true,
                Some((Event::DocumentStart(_), span)) => {
                    self.fault(span.start.line(), "", "a second document (`---`) is not read: use a second file");
                    return false;
                }
                Some(_) => {}
            }
        }
    }

    fn next<'input>(&mut self, events: &mut Events<'input>) -> Option<(Event<'input>, Span)> {
        match events.next_event()? {
            Ok(event) => Some(event),
            Err(error) => {
                self.fault(error.marker().line(), "", format!("is not YAML: {}", error.info()));
                None
            }
        }
    }

    fn node<'input>(
        &mut self,
        event: Event<'input>,
        span: Span,
        events: &mut Events<'input>,
        at: &str,
    ) -> Option<Value> {
        let line = span.start.line();
        self.document.places.insert(at.to_owned(), Place { file: self.file.clone(), line });
        if at.matches('/').count() > DEPTH_MAX {
            self.fault(line, at, format!("is nested deeper than {DEPTH_MAX}"));
            return None;
        }
        match event {
            Event::Scalar(text, style, _, tag) => {
                if tag.is_some() {
                    self.fault(line, at, "a tag (`!…`) has no meaning here: remove it");
                }
                Some(self.scalar(&text, style, line, at))
            }
            Event::SequenceStart(..) => self.sequence(events, at),
            Event::MappingStart(..) => self.mapping(events, at),
            Event::Alias(_) => {
                self.fault(line, at, "an alias (`*…`) is not read: write the value out");
                Some(Value::Null)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => Some(Value::Null),
        }
    }

    fn sequence(&mut self, events: &mut Events<'_>, at: &str) -> Option<Value> {
        let mut elements = Vec::new();
        let offset = at.strip_prefix('/').and_then(|name| self.offsets.get(name)).copied().unwrap_or(0);
        loop {
            let (event, span) = self.next(events)?;
            if matches!(event, Event::SequenceEnd) {
                return Some(Value::Array(elements));
            }
            let element = self.node(event, span, events, &format!("{at}/{}", offset + elements.len()))?;
            elements.push(element);
        }
    }

    fn mapping(&mut self, events: &mut Events<'_>, at: &str) -> Option<Value> {
        let mut members = Map::new();
        loop {
            let (event, span) = self.next(events)?;
            let line = span.start.line();
            let name = match event {
                Event::MappingEnd => return Some(Value::Object(members)),
                Event::Scalar(name, ..) => name.into_owned(),
                _ => {
                    self.fault(line, at, "a name must be a plain text");
                    return None;
                }
            };
            let pointer = format!("{at}/{}", escape(&name));
            let (event, span) = self.next(events)?;
            let known = self.document.places.get(&pointer).cloned();
            let value = self.node(event, span, events, &pointer)?;
            let place = Place { file: self.file.clone(), line };
            if members.contains_key(&name) {
                self.fault(line, &pointer, format!("{name:?} is here twice"));
            } else {
                members.insert(name, value);
            }
            self.document.places.insert(pointer, known.filter(|_| at.is_empty()).unwrap_or(place));
        }
    }

    /// YAML 1.2 core schema for plain scalars; a quoted one is text, and so is one with `${…}`.
    fn scalar(&mut self, text: &str, style: ScalarStyle, line: usize, at: &str) -> Value {
        if text.contains("${") {
            return Value::String(self.resolve(text, line, at));
        }
        if style != ScalarStyle::Plain {
            return Value::String(text.to_owned());
        }
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
            "true" | "True" | "TRUE" => return Value::Bool(true),
            "false" | "False" | "FALSE" => return Value::Bool(false),
            _ => {}
        }
        if let Ok(number) = text.parse::<i64>() {
            return Value::from(number);
        }
        let numeric = text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
        match text.parse::<f64>() {
            Ok(number) if numeric && number.is_finite() => Value::from(number),
            _ => Value::String(text.to_owned()),
        }
    }

    fn resolve(&mut self, text: &str, line: usize, at: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = after;
                continue;
            }
            out.push_str(before);
            let Some((reference, after)) = after.split_once('}') else {
                self.fault(line, at, "`${` without `}`; a literal `${` is written `$${`");
                return out;
            };
            rest = after;
            match self.reference(reference) {
                Ok(value) => out.push_str(&value),
                Err(message) => self.fault(line, at, message),
            }
        }
        out.push_str(rest);
        out
    }

    fn reference(&mut self, reference: &str) -> Result<String, String> {
        match reference.split_once(':') {
            Some(("env", name)) => {
                let value = self.environment.get(name).cloned();
                value.ok_or_else(|| format!("the environment has no variable {name:?}: set it"))
            }
            Some(("file", name)) => {
                let path = self.document.folder.join(name);
                let bytes = std::fs::read(&path).map_err(|error| format!("file {name:?} cannot be read: {error}"))?;
                self.document.sources.push((path, bytes.clone()));
                let text = String::from_utf8(bytes).map_err(|_| format!("file {name:?} is not UTF-8"))?;
                Ok(text.trim_end_matches(['\n', '\r']).to_owned())
            }
            _ => Err("`${…}` must be `${env:NAME}` or `${file:PATH}`".to_owned()),
        }
    }

    fn fault(&mut self, line: usize, at: &str, message: impl Into<String>) {
        self.faults.add(&Place { file: self.file.clone(), line }, at, message);
    }
}
