//! `#[activity]` and `#[orchestrator]`: sugar over the public traits of the `strandline` crate.

mod arguments;
mod expand;
mod function;

use proc_macro::TokenStream;
use syn::{ItemFn, parse_macro_input};

/// Makes an activity of an async function.
///
/// The function becomes a unit struct of the same name: pass it to `ctx.call` and to `register`, and
/// call `name.run(..)` with the function's own arguments in unit tests. Where the struct is in scope,
/// no local variable can have its name. Arguments are any number of `State<..>` and `ActivityContext`,
/// then at most one input by value; it returns a `Result`.
///
/// `#[activity(name = "ChargeCard", version = "2")]` sets the name and version it is registered under;
/// by default the function's name and none.
#[proc_macro_attribute]
pub fn activity(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, expand::activity)
}

/// Makes an orchestrator of an async function.
///
/// The function becomes a unit struct of the same name: pass it to `ctx.call`, to `client.start` and
/// to `register`. Where the struct is in scope, no local variable can have its name. Arguments are an
/// `OrchestrationContext`, then at most one input by value; it returns a `Result`.
///
/// `#[orchestrator(name = "Order", version = "2")]` sets the name and version it is registered under.
#[proc_macro_attribute]
pub fn orchestrator(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, expand::orchestrator)
}

type Expansion = fn(&arguments::Arguments, &ItemFn) -> syn::Result<proc_macro2::TokenStream>;

fn expand(arguments: TokenStream, item: TokenStream, expansion: Expansion) -> TokenStream {
    let mut parsed = arguments::Arguments::default();
    let parser = syn::meta::parser(|meta| parsed.read(&meta));
    parse_macro_input!(arguments with parser);
    let function = parse_macro_input!(item as ItemFn);
    expansion(&parsed, &function).unwrap_or_else(syn::Error::into_compile_error).into()
}
