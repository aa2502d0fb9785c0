//! Where in the table a request's routes can be, so that no other is looked at: by host, then by the path's segments.

use std::collections::HashMap;

use super::matcher::{HostPattern, Matcher};
use super::path::{PathPattern, Segment};

/// Routes, by their place in the table, under the hosts that they are for.
#[derive(Debug, Default)]
pub(super) struct Index {
    exact: HashMap<String, Node>,
    /// With the leading dot.
    below: HashMap<String, Node>,
    any: Node,
}

/// Routes whose paths begin alike, segment by segment. The places of each list are in the order of the table.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<String, Self>,
    parameter: Option<Box<Self>>,
    /// Routes for the path that ends here.
    ends: Vec<usize>,
    /// Routes for every path that comes through here.
    rests: Vec<usize>,
}

impl Index {
    /// Adds a route; those before it in the table are added before it.
    pub(super) fn add(&mut self, place: usize, matcher: &Matcher) {
        if matcher.hosts().is_empty() {
            self.any.add(place, matcher.path());
        }
        for host in matcher.hosts() {
            let node = match host {
                HostPattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
                HostPattern::Below(suffix) => self.below.entry(suffix.clone()).or_default(),
            };
            node.add(place, matcher.path());
        }
    }

    /// Shows every list of routes whose host fits and whose path may, mostly the more specific first.
    pub(super) fn look_up(&self, host: &str, path: &str, show: &mut dyn FnMut(&[usize])) {
        if let Some(node) = self.exact.get(host) {
            node.walk(path, show);
        }
        if !self.below.is_empty() {
            for (dot, _) in host.match_indices('.').filter(|(dot, _)| *dot > 0) {
                if let Some(node) = host.get(dot..).and_then(|suffix| self.below.get(suffix)) {
                    node.walk(path, show);
                }
            }
        }
        self.any.walk(path, show);
    }
}

impl Node {
    fn add(&mut self, place: usize, path: &PathPattern) {
        let mut node = self;
        match path {
            PathPattern::Any => node.rests.push(place),
            PathPattern::Exact(text) => node.below(text).ends.push(place),
            PathPattern::Prefix(text) => node.below(text).rests.push(place),
            PathPattern::Regex(pattern) => node.below(pattern.folder()).rests.push(place),
            PathPattern::Template(segments) => {
                for segment in segments {
                    node = match segment {
                        Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                        Segment::Parameter(_) => node.parameter.get_or_insert_default(),
                        Segment::Rest(_) => return node.rests.push(place),
                    };
                }
                node.ends.push(place);
            }
        }
    }

    fn below(&mut self, path: &str) -> &mut Self {
        path.split('/').skip(1).fold(self, |node, segment| node.literals.entry(segment.to_owned()).or_default())
    }

    fn walk(&self, path: &str, show: &mut dyn FnMut(&[usize])) {
        match path.strip_prefix('/') {
            None => show(&self.ends),
            Some(path) => {
                let end = path.find('/').unwrap_or(path.len());
                let (segment, rest) = path.split_at_checked(end).unwrap_or((path, ""));
                if let Some(node) = self.literals.get(segment) {
                    node.walk(rest, show);
                }
                if let Some(node) = self.parameter.as_ref().filter(|_| !segment.is_empty()) {
                    node.walk(rest, show);
                }
            }
        }
        show(&self.rests);
    }
}
