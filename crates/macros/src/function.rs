//! What the attributes ask of a function.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, ItemFn, PatType, Result, ReturnType, Type};

/// Refuses what cannot be a durable function, saying why at the place that is wrong.
pub(crate) fn check(function: &ItemFn, what: &str) -> Result<()> {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        return Err(Error::new(
            signature.fn_token.span(),
            format!("{what} is an async function: write `async fn {}`", signature.ident),
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(
            signature.generics.span(),
            format!("{what} is registered under one name and cannot be generic"),
        ));
    }
    if matches!(signature.output, ReturnType::Default) {
        return Err(Error::new(
            signature.ident.span(),
            format!("{what} returns a `Result`: write `-> Result<()>` when there is nothing to return"),
        ));
    }
    Ok(())
}

/// The arguments by type; a method is refused.
pub(crate) fn inputs(function: &ItemFn, what: &str) -> Result<Vec<PatType>> {
    let typed = function.sig.inputs.iter().map(|input| match input {
        FnArg::Typed(typed) => Ok(typed.clone()),
        FnArg::Receiver(receiver) => {
            Err(Error::new(receiver.span(), format!("{what} is a free function, not a method")))
        }
    });
    typed.collect()
}

/// The input must own its data: it is read from JSON for this call.
pub(crate) fn check_input(input: &Type) -> Result<()> {
    match input {
        Type::Reference(reference) => Err(Error::new(
            reference.span(),
            "the input is taken by value: it is read from JSON for this call alone",
        )),
        _ => Ok(()),
    }
}

/// The type written after the arrow.
pub(crate) fn output(function: &ItemFn) -> TokenStream {
    match &function.sig.output {
        ReturnType::Type(_, output) => quote!(#output),
        ReturnType::Default => quote!(()),
    }
}

/// Whether what is returned is a type named `Result`.
pub(crate) fn result_type(output: &ReturnType) -> bool {
    matches!(output, ReturnType::Type(_, ty) if is_named(ty, "Result"))
}

/// Whether a type's last path segment is this name.
pub(crate) fn is_named(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|segment| segment.ident == name))
}

/// The name of an identifier without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}
