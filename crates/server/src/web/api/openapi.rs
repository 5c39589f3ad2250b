//! The document that describes the API, made from the handlers.

use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use strandline_model::limits::{INSTANCE_ID_BYTES_MAX, NAME_BYTES_MAX};
use strandline_store::HUB_NAME_MAX;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response, ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::problem::{PROBLEM_JSON, Problem};
use crate::web::App;

/// The access key, in the document.
const ACCESS_KEY: &str = "accessKey";

/// Problems that every operation may come to, and those of operations with a body.
const EVERYWHERE: [(&str, &str); 8] = [
    ("400", "A parameter is unknown or has a value that is not possible."),
    ("401", "A valid access key is needed."),
    ("403", "The access key does not allow this, or a server without keys is not asked as this machine."),
    ("404", "There is no such hub for this access key, or nothing of this name or id in it."),
    ("414", "Path and query are too long."),
    ("431", "The headers are too large."),
    ("500", "The server has a fault."),
    ("503", "It is not possible now: the server stops, the store has no room, or an outcome is unknown."),
];
const WITH_BODY: [(&str, &str); 5] = [
    ("408", "The body took too long to arrive."),
    ("413", "The body is too large."),
    ("415", "The body is compressed, or of a media type that is not taken."),
    ("422", "A field of the body is unknown or has a value that is not possible."),
    ("429", "Too much waits already."),
];

/// The document without operations.
pub(super) fn empty() -> OpenApi {
    let description = "Everything that can be done with the task hubs of a Strandline server. Problems are \
        documents of RFC 9457. Times are those of RFC 3339, in UTC. Payloads are opaque texts: where one is JSON \
        it stands in an answer as it is, byte for byte; where it is not, it stands there as a JSON string and \
        `notJson` names it; where there is none, the field is absent.";
    let info = InfoBuilder::new().title("Strandline").version("1").description(Some(description));
    OpenApiBuilder::new().info(info.build()).build()
}

/// Adds what all operations have in common.
pub(super) fn complete(mut document: OpenApi) -> OpenApi {
    let mut components = document.components.take().unwrap_or_default();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    for (status, description) in EVERYWHERE.iter().chain(&WITH_BODY) {
        let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name(Problem::name()))));
        let response = ResponseBuilder::new().description(*description).content(PROBLEM_JSON, content);
        components.responses.insert(response_name(status), response.build().into());
    }
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "An access key. It may stand in the header `x-functions-key` or in the query parameter `code` instead. \
         The scope of an operation is what the key must allow. A server without keys asks for none.",
    ));
    let scheme = SecurityScheme::Http(scheme.build());
    components.security_schemes.insert(ACCESS_KEY.to_owned(), RefOr::T(scheme));
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            complete_operation(path, operation);
        }
    }
    document.components = Some(components);
    document
}

fn complete_operation(path: &str, operation: &mut Operation) {
    let with_body = if operation.request_body.is_some() { &WITH_BODY[..] } else { &[] };
    let responses = &mut operation.responses.responses;
    for (status, _) in EVERYWHERE.iter().chain(with_body) {
        let common = || RefOr::<Response>::Ref(Ref::from_response_name(response_name(status)));
        responses.entry((*status).to_owned()).or_insert_with(common);
    }
    for (_, response) in responses.iter_mut().filter(|(status, _)| status.as_str() >= "400") {
        // What an operation says of a problem itself is a problem, too.
        if let RefOr::T(response) = response
            && let Some(content) = response.content.swap_remove("application/json")
        {
            response.content.insert(PROBLEM_JSON.to_owned(), content);
        }
    }
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters = names.map(|name| RefOr::T(path_parameter(path, name)));
    let others = operation.parameters.take().unwrap_or_default();
    operation.parameters = Some(parameters.chain(others).collect());
}

/// A parameter of a path. All operations mean the same by its name.
fn path_parameter(path: &str, name: &str) -> Parameter {
    let text = || ObjectBuilder::new().schema_type(Type::String).min_length(Some(1));
    let (description, schema) = match name {
        "hub" => ("The hub's name.", text().max_length(Some(HUB_NAME_MAX))),
        "id" if path.contains("/entities/") => {
            let id = text().max_length(Some(INSTANCE_ID_BYTES_MAX)).pattern(Some("^@[^@]+@"));
            ("The entity's id: `@name@key`.", id)
        }
        "id" => ("The instance's id.", text().max_length(Some(INSTANCE_ID_BYTES_MAX))),
        "name" => ("The event's name.", text().max_length(Some(NAME_BYTES_MAX))),
        "payload" => {
            let names = ["input", "output", "customStatus"];
            ("Which payload.", text().enum_values(Some(names)))
        }
        _ => ("", text()),
    };
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path);
    parameter.required(Required::True).description(Some(description)).schema(Some(schema)).build()
}

fn response_name(status: &str) -> String {
    format!("Problem{status}")
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.put, &mut path.post, &mut path.delete].into_iter().flatten()
}

/// Serves the document.
pub(super) fn serve(document: &OpenApi) -> MethodRouter<App> {
    // Nothing in it can fail to be JSON.
    let text = Bytes::from(document.to_json().unwrap_or_default());
    get(move || {
        let text = text.clone();
        async move { ([(CONTENT_TYPE, "application/json")], text) }
    })
}
