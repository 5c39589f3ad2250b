//! Exporting spans to a collector.

use anyhow::Context as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

/// Spans on their way to a collector.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Exports what the code in this process does to a collector that takes OTLP over gRPC. Workers of other
    /// processes export their own spans; the server only passes their contexts on.
    pub(crate) fn export_to(endpoint: &str) -> anyhow::Result<Self> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let exporter = exporter.with_context(|| format!("traces can't be exported to {endpoint:?}"))?;
        let resource = Resource::builder().with_service_name("strandline").build();
        let builder = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter);
        Ok(Self { provider: strandline::trace::install(builder) })
    }

    /// Exports the last spans.
    pub(crate) async fn close(self) {
        let closed = tokio::task::spawn_blocking(move || self.provider.shutdown()).await;
        if let Ok(Err(error)) = closed {
            tracing::warn!(%error, "the last spans could not be exported");
        }
    }
}
