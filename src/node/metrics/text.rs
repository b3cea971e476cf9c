//! A page in the text format of Prometheus, version 0.0.4.
//!
//! Knows no metric.
//!
//! Invariant: whatever a label's value is, it breaks no line.

use super::histogram::Histogram;
use std::fmt::{Display, Write as _};

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A page that is being written. Samples follow the family that they belong to.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// Begins a family; `help` says what it counts, and in what unit.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels = braced(labels);
        self.line(format_args!("{name}{labels} {value}"));
    }

    /// A family of one sample without labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// Bounds and sum are divided by `unit`: a million makes seconds of microseconds.
    pub fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        histogram: &Histogram,
        unit: u32,
    ) {
        let scaled = |value: u64| value as f64 / f64::from(unit);
        let bucket = format!("{name}_bucket");
        let with = |bound: &str| {
            let mut all = labels.to_vec();
            all.push(("le", bound));
            braced(&all)
        };
        for (bound, count) in histogram.cumulative() {
            let labels = with(&scaled(bound).to_string());
            self.line(format_args!("{bucket}{labels} {count}"));
        }
        let all = histogram.count();
        let infinite = with("+Inf");
        self.line(format_args!("{bucket}{infinite} {all}"));
        self.sample(&format!("{name}_sum"), labels, scaled(histogram.sum()));
        self.sample(&format!("{name}_count"), labels, all);
    }

    pub fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}

fn braced(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let one = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
    let labels: Vec<String> = labels.iter().map(one).collect();
    format!("{{{}}}", labels.join(","))
}

fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_as_prometheus_wants_it() {
        let mut histogram = Histogram::new(&[250, 1_000_000]);
        histogram.observe(200);
        histogram.observe(3_000_000);
        let mut page = Page::default();
        page.single("up", Kind::Gauge, "Whether it is.", 1);
        page.family("taken_seconds", Kind::Histogram, "How long.");
        page.histogram("taken_seconds", &[("what", "a")], &histogram, 1_000_000);
        let expected = "# HELP up Whether it is.\n# TYPE up gauge\nup 1\n\
             # HELP taken_seconds How long.\n# TYPE taken_seconds histogram\n\
             taken_seconds_bucket{what=\"a\",le=\"0.00025\"} 1\n\
             taken_seconds_bucket{what=\"a\",le=\"1\"} 1\n\
             taken_seconds_bucket{what=\"a\",le=\"+Inf\"} 2\n\
             taken_seconds_sum{what=\"a\"} 3.0002\ntaken_seconds_count{what=\"a\"} 2\n";
        assert_eq!(page.finish(), expected);
    }

    #[test]
    fn a_label_breaks_no_line() {
        let mut page = Page::default();
        page.sample("a", &[("of", "x\"\n\\")], 1);
        assert_eq!(page.finish(), "a{of=\"x\\\"\\n\\\\\"} 1\n");
    }
}
