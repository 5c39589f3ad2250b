//! `#[activity]`, `#[orchestrator]` and `#[entity]`: sugar over the public traits of the `strandline` crate.

mod arguments;
mod entity;
mod expand;
mod function;

use proc_macro::TokenStream;
use syn::parse::Parse;
use syn::{Item, ItemFn, parse_macro_input};

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
    expand::<ItemFn>(arguments, item, expand::activity)
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
    expand::<ItemFn>(arguments, item, expand::orchestrator)
}

/// Makes an entity of a type or of a function.
///
/// Before an `impl` block, the type is the state and its public methods are the operations: `&mut self`
/// or `&self`, then any number of `State<..>` and `EntityContext` (or `&EntityContext`), then at most
/// one input by value. They may be async. What they return is a plain value, or a type named `Result`.
/// The type's name can then be passed to `register`. That of a tuple struct is its constructor:
/// register a value of it, and allow `hidden_glob_reexports` on the struct where it is exported.
/// A type `<Name>Proxy` with the same methods is what orchestrators and clients use.
///
/// Before a function, it is run for each operation. It takes an `EntityContext<S>`, where `S` is the
/// type of the state, then any number of `State<..>`, and returns a `Result`. It may be async.
///
/// `#[entity(name = "Stock")]` sets the name it is registered under; by default that of the type or
/// function. On the wire it is in lower case.
#[proc_macro_attribute]
pub fn entity(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::<Item>(arguments, item, entity::entity)
}

type Expansion<T> = fn(&arguments::Arguments, &T) -> syn::Result<proc_macro2::TokenStream>;

fn expand<T: Parse>(arguments: TokenStream, item: TokenStream, expansion: Expansion<T>) -> TokenStream {
    let mut parsed = arguments::Arguments::default();
    let parser = syn::meta::parser(|meta| parsed.read(&meta));
    parse_macro_input!(arguments with parser);
    let item = parse_macro_input!(item as T);
    expansion(&parsed, &item).unwrap_or_else(syn::Error::into_compile_error).into()
}
