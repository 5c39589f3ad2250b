//! What the attributes expand to.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, ItemFn, Result, Type};

use crate::arguments::Arguments;
use crate::function::{check, check_input, inputs, is_named, output, plain};

pub(crate) fn activity(arguments: &Arguments, function: &ItemFn) -> Result<TokenStream> {
    check(function, "an activity")?;
    let parameters = inputs(function, "an activity")?;
    let types: Vec<&Type> = parameters.iter().map(|parameter| &*parameter.ty).collect();
    // Only the last argument can be the input, and it is unless it is one the worker provides.
    let provided = |ty: &Type| is_named(ty, "State") || is_named(ty, "ActivityContext");
    let (extracted, input) = match types.split_last() {
        Some((last, rest)) if !provided(last) => (rest.to_vec(), Some(*last)),
        _ => (types.clone(), None),
    };
    if let Some(input) = input {
        check_input(input)?;
    }
    let ident = &function.sig.ident;
    let taken = extracted
        .iter()
        .map(|ty| quote_spanned!(ty.span()=> <#ty as ::strandline::FromActivity>::from_activity(&request)?,));
    let needs =
        extracted.iter().map(|ty| quote_spanned!(ty.span()=> <#ty as ::strandline::FromActivity>::need(),));
    let read = input.map(|ty| quote_spanned!(ty.span()=> request.input::<#ty>()?));
    let handle = handle(arguments, function, input, &quote!(::strandline::AnActivity));
    Ok(quote! {
        #handle

        impl ::strandline::Register for #ident {
            fn register(self, registry: &mut ::strandline::Registry) {
                registry.add_activity(self, &[#(#needs)*], |request: ::strandline::ActivityRequest| async move {
                    ::strandline::Outcome::into_result(#ident.run(#(#taken)* #read).await)
                });
            }
        }
    })
}

pub(crate) fn orchestrator(arguments: &Arguments, function: &ItemFn) -> Result<TokenStream> {
    check(function, "an orchestrator")?;
    let parameters = inputs(function, "an orchestrator")?;
    let types: Vec<&Type> = parameters.iter().map(|parameter| &*parameter.ty).collect();
    let input = match types[..] {
        [_] => None,
        [_, input] => Some(input),
        [] => {
            let text = "an orchestrator takes an `OrchestrationContext` and at most one input";
            return Err(Error::new(function.sig.paren_token.span.join(), text));
        }
        [_, _, third, ..] => {
            let text = "an orchestrator takes one input: put several into a struct or a tuple";
            return Err(Error::new(third.span(), text));
        }
    };
    if !is_named(types[0], "OrchestrationContext") {
        let text = "the first argument of an orchestrator is its `OrchestrationContext`";
        return Err(Error::new(types[0].span(), text));
    }
    if let Some(input) = input {
        check_input(input)?;
    }
    let ident = &function.sig.ident;
    let handle = handle(arguments, function, input, &quote!(::strandline::AnOrchestration));
    let (pattern, passed) = match input {
        Some(_) => (quote!(input), quote!(, input)),
        None => (quote!(()), quote!()),
    };
    Ok(quote! {
        #handle

        impl ::strandline::Register for #ident {
            fn register(self, registry: &mut ::strandline::Registry) {
                registry.add_orchestrator(self, |ctx: ::strandline::OrchestrationContext, #pattern| async move {
                    ::strandline::Outcome::into_result(#ident.run(ctx #passed).await)
                });
            }
        }
    })
}

/// The unit struct of a function with its name and its types.
fn handle(arguments: &Arguments, function: &ItemFn, input: Option<&Type>, kind: &TokenStream) -> TokenStream {
    let structure = unit_struct(function);
    let ident = &function.sig.ident;
    let name = arguments.name.as_ref().map_or_else(|| plain(ident), syn::LitStr::value);
    let version = arguments.version.as_ref().map(|version| quote!(.version(#version)));
    let with_version = version.as_ref().map(|_| {
        quote!(
            use ::strandline::Callable as _;
        )
    });
    let input = input.map_or_else(|| quote!(()), |ty| quote!(#ty));
    let output = output(function);
    let value = quote_spanned!(output.span()=> <#output as ::strandline::Outcome>::Value);
    quote! {
        #structure

        impl ::strandline::Named for #ident {
            type Input = #input;
            type Output = #value;

            fn name(&self) -> &str {
                #name
            }
        }

        impl ::strandline::Callable for #ident {
            type Kind = #kind;

            fn into_call(self) -> ::strandline::Call<#kind, Self::Input, Self::Output> {
                #with_version
                ::strandline::Call::named(#name)#version
            }
        }
    }
}

/// The unit struct that stands for a function, and the function as its method `run`.
pub(crate) fn unit_struct(function: &ItemFn) -> TokenStream {
    let ItemFn { attrs, vis, sig, block, .. } = function;
    let (ident, parameters, asyncness) = (&sig.ident, &sig.inputs, &sig.asyncness);
    let output = output(function);
    let docs = attrs.iter().filter(|attribute| attribute.path().is_ident("doc"));
    let others = attrs.iter().filter(|attribute| !attribute.path().is_ident("doc"));
    quote! {
        #(#docs)*
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug)]
        #vis struct #ident;

        impl #ident {
            /// The function itself, for unit tests.
            #(#others)*
            #vis #asyncness fn run(self, #parameters) -> #output #block
        }
    }
}
