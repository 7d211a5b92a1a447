//! What the operator allows a spec to make this machine do: judged from the text alone, before anything is fetched or run.

use std::collections::BTreeSet;

use url::Url;

use super::packages::{Asked, asked_of_apt, asked_of_mamba, asked_of_pip, requirement_lines};
use super::section::quoted;
use super::yaml::Span;
use super::{Environment, Spec, Written, name};
use crate::core::mistake::{Mistake, Place};

/// What the operator allows. The default is what is safe without knowing the operator's site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecPolicy {
    /// From where repositories, environments and packages with an address may come: `git.example.org`,
    /// `git.example.org:8443`, `*.example.org`.
    pub hosts: BTreeSet<String>,
    /// How: `https`, and what the operator adds.
    pub schemes: BTreeSet<String>,
    /// Programs that `commands` may name.
    pub commands: BTreeSet<String>,
    /// Options that lines of packages may hold: `-r`, `--index-url`.
    pub package_options: BTreeSet<String>,
    /// Packages may be paths of the checkout.
    pub local_packages: bool,
}

impl Default for SpecPolicy {
    fn default() -> Self {
        let set = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        Self {
            hosts: set(&["github.com"]),
            schemes: set(&["https"]),
            commands: set(&["conda", "mamba", "micromamba", "pip", "uv", "uv pip"]),
            package_options: BTreeSet::new(),
            local_packages: false,
        }
    }
}

impl SpecPolicy {
    /// Allows the host of this address as well, by its scheme: that of the forge whose code is tested.
    pub fn allow(&mut self, url: &Url) {
        if let Some(host) = url.host_str() {
            self.hosts.insert(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")));
            self.schemes.insert(url.scheme().to_owned());
        }
    }

    /// Everything in `spec` that this policy refuses, in the order of the file.
    pub fn judge(&self, spec: &Spec) -> Vec<Mistake> {
        let mut bench = Bench { policy: self, file: &spec.file, refusals: Vec::new() };
        for repository in &spec.repositories {
            bench.address("url", &repository.url);
        }
        let system = &spec.system;
        for tool in [Some(&system.spi), system.nb_wrangler.as_ref()].into_iter().flatten() {
            bench.address("repo", &tool.url);
            bench.reference(tool.reference.as_ref());
        }
        for (kind, command) in &system.commands {
            if !self.commands.contains(command.text.trim()) {
                let shown = quoted(&command.text);
                bench.refuse(
                    command.span,
                    format!("the command {shown} for {kind} may not be named by a spec; remove it"),
                );
            }
        }
        for asset in &spec.assets {
            bench.address("repo", &asset.url);
            bench.reference(asset.reference.as_ref());
            if let Some(why) = name::escape(asset.source.text.trim_start_matches('/')) {
                bench.refuse(asset.source.span, format!("source {} {why}", quoted(&asset.source.text)));
            }
        }
        match &spec.environment {
            Environment::Python { .. } | Environment::File { .. } => {}
            Environment::Uri(uri) if uri.text.contains("://") => bench.address("uri", uri),
            Environment::Uri(_) => {}
            Environment::Inline(inline) => {
                for channel in &inline.channels {
                    bench.channel(channel);
                }
                inline.dependencies.iter().for_each(|line| bench.package(line, asked_of_mamba(&line.text)));
                inline.pip.iter().for_each(|line| bench.package(line, asked_of_pip(&line.text)));
            }
        }
        let packages = &spec.packages;
        for line in packages.extra_mamba.iter().chain(&packages.common_mamba) {
            bench.package(line, asked_of_mamba(&line.text));
        }
        for line in packages.extra_pip.iter().chain(&packages.common_pip).chain(&packages.override_pip) {
            bench.package(line, asked_of_pip(&line.text));
        }
        for line in &packages.apt {
            bench.package(line, asked_of_apt(&line.text));
        }
        for url in spec.refdata.install_files.iter().flat_map(|install| &install.data_url) {
            if url.text.trim().to_ascii_lowercase().starts_with("file:") {
                bench.refuse(
                    url.span,
                    format!("data_url {} leads to files of this machine", quoted(&url.text)),
                );
            }
        }
        bench.done()
    }

    /// Everything in a requirement file that this policy refuses, in the order of the file.
    pub fn judge_requirements(&self, text: &str, file: &str) -> Vec<Mistake> {
        let mut bench = Bench { policy: self, file, refusals: Vec::new() };
        for (line, text) in requirement_lines(text) {
            let written = Written { span: Span { line, column: 1, ..Span::default() }, text };
            bench.package(&written, asked_of_pip(&written.text));
        }
        bench.done()
    }

    /// Why nothing is fetched from this address.
    pub fn refuses_address(&self, address: &str) -> Option<String> {
        let Ok(url) = Url::parse(address) else {
            return Some("is no address such as https://host/path".into());
        };
        if !self.schemes.contains(url.scheme()) {
            let known = self.schemes.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Some(format!("may not be reached by {}, only by {known}", quoted(url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Some(
                "carries a name or a password; addresses in a spec are for everybody to read".into(),
            );
        }
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Some("has no host".into());
        };
        let host = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let fits = |known: &String| {
            known.strip_prefix('*').map_or(host == *known, |end| end.starts_with('.') && host.ends_with(end))
        };
        if !self.hosts.iter().any(fits) {
            return Some(format!("is on {}, which the operator does not list", quoted(&host)));
        }
        None
    }
}

/// One judgement.
struct Bench<'a> {
    policy: &'a SpecPolicy,
    file: &'a str,
    refusals: Vec<Mistake>,
}

impl Bench<'_> {
    fn refuse(&mut self, span: Span, text: String) {
        let place = Place { file: self.file.to_owned(), line: span.line, column: span.column };
        self.refusals.push(Mistake::new(place, text));
    }

    fn done(mut self) -> Vec<Mistake> {
        self.refusals.sort();
        self.refusals.dedup();
        self.refusals
    }

    fn address(&mut self, what: &str, address: &Written) {
        if let Some(why) = self.policy.refuses_address(&address.text) {
            self.refuse(address.span, format!("{what} {} {why}", quoted(&address.text)));
        }
    }

    fn reference(&mut self, reference: Option<&Written>) {
        let Some(reference) = reference.filter(|reference| !reference.text.contains("${")) else { return };
        if let Some(why) = name::no_ref(&reference.text) {
            self.refuse(reference.span, format!("ref {} {why}", quoted(&reference.text)));
        }
    }

    fn channel(&mut self, channel: &Written) {
        if channel.text.contains("://") {
            return self.address("channel", channel);
        }
        let is_name = channel.text.split('/').all(name::is_part);
        if !is_name {
            self.refuse(channel.span, format!("channel {} is no name of a channel", quoted(&channel.text)));
        }
    }

    fn package(&mut self, line: &Written, asked: Asked) {
        let shown = quoted(line.text.trim());
        match asked {
            Asked::Nothing | Asked::Package => {}
            Asked::Option(option) => {
                if !self.policy.package_options.contains(&option) {
                    self.refuse(
                        line.span,
                        format!("the line {shown} holds the option {}; write packages only", quoted(&option)),
                    );
                }
            }
            Asked::Path(_) => {
                if !self.policy.local_packages {
                    self.refuse(
                        line.span,
                        format!(
                            "the line {shown} is no package of an index, and nothing is installed from paths"
                        ),
                    );
                }
            }
            Asked::Variable => {
                self.refuse(line.span, format!("the line {shown} holds a variable; write its value"));
            }
            Asked::Address(address) => {
                let plain = address.split('#').next().unwrap_or_default();
                let (is_git, plain) = match plain.strip_prefix("git+") {
                    Some(rest) => (true, rest),
                    None => (false, plain),
                };
                // `https://host/path@ref`
                let path = plain.splitn(4, '/').nth(3).unwrap_or_default();
                let reference =
                    if is_git { path.rsplit_once('@').map(|(_, reference)| reference) } else { None };
                if let Some(why) = self.policy.refuses_address(plain) {
                    self.refuse(line.span, format!("the line {shown} {why}"));
                } else if let Some(why) = reference.and_then(name::no_ref) {
                    self.refuse(line.span, format!("the line {shown} names a ref that {why}"));
                }
            }
        }
    }
}
