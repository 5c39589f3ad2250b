//! Writing families of metrics, label by label.

use std::borrow::Cow;
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use super::histogram::Histogram;

/// Labels of one series.
pub(super) type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// No measurement of ours has an example attached.
const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, u64>> = None;

/// Writes one family after the other. A family without series is still announced.
pub(super) struct Families<'a, 'b>(pub(super) &'a mut DescriptorEncoder<'b>);

impl Families<'_, '_> {
    /// `name` without `_total`.
    pub(super) fn counter<'l>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in series {
            one(&mut family, &labels, |encoder| encoder.encode_counter(&value, NO_EXEMPLAR))?;
        }
        Ok(())
    }

    pub(super) fn gauge<'l>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in series {
            one(&mut family, &labels, |encoder| encoder.encode_gauge(&value))?;
        }
        Ok(())
    }

    pub(super) fn histogram<'l>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l>, &'l Histogram)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, histogram) in series {
            one(&mut family, &labels, |encoder| histogram.write(encoder))?;
        }
        Ok(())
    }
}

/// Writes one series, without braces if it has no labels.
fn one(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_>,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() { write(family) } else { write(&mut family.encode_family(labels)?) }
}
