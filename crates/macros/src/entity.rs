//! What `#[entity]` expands to: on an `impl` block, its methods become operations.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, ImplItem, ImplItemFn, Item, ItemFn, ItemImpl, Pat,
    PathArguments, ReceiverKind, Result, ReturnType, Type, Visibility,
};

use crate::arguments::Arguments;
use crate::expand::unit_struct;
use crate::function::{check_input, inputs, is_named, plain, result_type};

pub(crate) fn entity(arguments: &Arguments, item: &Item) -> Result<TokenStream> {
    if let Some(version) = &arguments.version {
        return Err(Error::new(version.span(), "an entity has no versions: its state outlives them"));
    }
    if let Some(name) = arguments.name.as_ref().filter(|name| name.value().contains('@')) {
        return Err(Error::new(name.span(), "the name of an entity has no '@'"));
    }
    match item {
        Item::Impl(block) => methods(arguments, block),
        Item::Fn(function) => function_entity(arguments, function),
        other => {
            let text = "`#[entity]` stands before an `impl` block, whose public methods become operations, \
                        or before a function that takes an `EntityContext<S>`";
            Err(Error::new(other.span(), text))
        }
    }
}

/// A public method.
struct Method<'a> {
    ident: &'a Ident,
    /// Documentation and conditions.
    attributes: Vec<&'a Attribute>,
    read_only: bool,
    is_async: bool,
    parameters: Vec<Parameter<'a>>,
    /// Name and type.
    input: Option<(Ident, &'a Type)>,
    output: &'a ReturnType,
}

impl Method<'_> {
    /// The conditions under which there is this operation. Whatever names it needs them.
    fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().copied().filter(|attribute| attribute.path().is_ident("cfg"))
    }
}

enum Parameter<'a> {
    /// `&EntityContext`
    Context,
    Provided(&'a Type),
}

fn methods(arguments: &Arguments, block: &ItemImpl) -> Result<TokenStream> {
    if let Some((of, _)) = &block.trait_ {
        let text = "`#[entity]` stands before the type's own `impl` block, not before that of a trait";
        return Err(Error::new(of.span(), text));
    }
    if !block.generics.params.is_empty() {
        let text = "an entity is registered under one name and cannot be generic";
        return Err(Error::new(block.generics.span(), text));
    }
    let ident = match &*block.self_ty {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        _ => None,
    };
    let Some(ident) = ident else {
        return Err(Error::new(block.self_ty.span(), "an entity is a type with a name of its own"));
    };
    let mut found: Vec<Method<'_>> = Vec::new();
    for item in &block.items {
        let ImplItem::Fn(function) = item else { continue };
        if let Some(method) = operation(function)? {
            let name = plain(method.ident);
            // Of several under conditions at most one is there; the compiler sees to that.
            let is_variant = |other: &Method<'_>| {
                other.ident == method.ident && other.cfgs().next().and(method.cfgs().next()).is_some()
            };
            let is_same = |other: &Method<'_>| plain(other.ident).eq_ignore_ascii_case(&name);
            if found.iter().any(|other| is_same(other) && !is_variant(other)) {
                let text = "operations are matched ignoring ASCII case: there is one of this name already";
                return Err(Error::new(method.ident.span(), text));
            }
            found.push(method);
        }
    }
    if found.is_empty() {
        let text =
            "an entity has at least one operation: a method that is `pub` and takes `&mut self` or `&self`";
        return Err(Error::new(block.self_ty.span(), text));
    }
    let name = arguments.name.as_ref().map_or_else(|| plain(ident), syn::LitStr::value);
    let implementation = implement(&block.self_ty, &name, ident, &found);
    let proxy = proxy(&block.self_ty, ident, &found);
    let handle = handle(&block.self_ty, ident);
    Ok(quote! {
        #[allow(unreachable_pub, reason = "operations are `pub` in private types, too")]
        #block
        #implementation
        #proxy
        #handle
    })
}

fn operation(function: &ImplItemFn) -> Result<Option<Method<'_>>> {
    let signature = &function.sig;
    let mut arguments = signature.inputs.iter();
    let is_public = matches!(function.vis, Visibility::Public(_));
    let (true, Some(FnArg::Receiver(receiver))) = (is_public, arguments.next()) else { return Ok(None) };
    let read_only = match &receiver.kind {
        ReceiverKind::Reference(_, _, mutability) => mutability.is_none(),
        _ => {
            let text = "an operation takes `&mut self`, or `&self` if it only reads; helpers are not `pub`";
            return Err(Error::new(receiver.span(), text));
        }
    };
    if !signature.generics.params.is_empty() {
        let text = "an operation cannot be generic; helpers are not `pub`";
        return Err(Error::new(signature.generics.span(), text));
    }
    let mut parameters = Vec::new();
    let mut input = None;
    for argument in arguments {
        let FnArg::Typed(argument) = argument else { continue };
        if let Some((_, ty)) = input {
            let text =
                "an operation takes one input, and it comes last: put several into a struct or a tuple";
            return Err(Error::new(Spanned::span(ty), text));
        }
        let ty = &*argument.ty;
        match ty {
            Type::Reference(reference) if is_named(&reference.elem, "EntityContext") => {
                if reference.mutability.is_some() {
                    return Err(Error::new(ty.span(), "write `&EntityContext`"));
                }
                parameters.push(Parameter::Context);
            }
            ty if is_named(ty, "EntityContext") || is_named(ty, "State") => {
                parameters.push(Parameter::Provided(ty));
            }
            ty => {
                check_input(ty)?;
                input = Some((argument_name(&argument.pat), ty));
            }
        }
    }
    let kept = ["doc", "cfg", "deprecated"];
    Ok(Some(Method {
        ident: &signature.ident,
        attributes: function.attrs.iter().filter(|a| kept.iter().any(|k| a.path().is_ident(k))).collect(),
        read_only,
        is_async: signature.asyncness.is_some(),
        parameters,
        input,
        output: &signature.output,
    }))
}

/// What the input is called in the documentation of the proxy.
fn argument_name(pattern: &Pat) -> Ident {
    match pattern {
        Pat::Ident(name) => {
            format_ident!("{}", plain(&name.ident).trim_start_matches('_'), span = name.ident.span())
        }
        _ => Ident::new("input", Span::call_site()),
    }
}

fn implement(self_ty: &Type, name: &str, ident: &Ident, methods: &[Method<'_>]) -> TokenStream {
    let proxy = proxy_ident(ident);
    let needs = methods.iter().flat_map(|method| {
        method.parameters.iter().filter_map(move |parameter| {
            let Parameter::Provided(ty) = parameter else { return None };
            let cfgs = method.cfgs();
            Some(quote_spanned!(ty.span()=> #(#cfgs)* <#ty as ::strandline::FromEntity>::need(),))
        })
    });
    let operations = methods.iter().map(|method| {
        let (cfgs, name, read_only) = (method.cfgs(), plain(method.ident), method.read_only);
        quote!(#(#cfgs)* ::strandline::Operation { name: #name, read_only: #read_only },)
    });
    // By name: how many come before an operation depends on conditions.
    let arms = methods.iter().map(|method| {
        let (cfgs, function, name) = (method.cfgs(), method.ident, plain(method.ident));
        let arguments = method.parameters.iter().map(|parameter| match parameter {
            Parameter::Context => quote!(ctx,),
            Parameter::Provided(ty) => {
                quote_spanned!(ty.span()=> <#ty as ::strandline::FromEntity>::from_entity(ctx)?,)
            }
        });
        let input = method.input.as_ref().map(|(_, ty)| quote_spanned!(ty.span()=> ctx.input::<#ty>()?));
        let wait = method.is_async.then(|| quote!(.await));
        let output = quote_spanned!(function.span()=> self.#function(#(#arguments)* #input)#wait);
        let output = match result_type(method.output) {
            true => quote!(::strandline::Outcome::into_result(#output)?),
            false => output,
        };
        quote!(#(#cfgs)* ::core::option::Option::Some(#name) => { let output = #output; ctx.output(&output) })
    });
    quote! {
        impl ::strandline::Entity for #self_ty {
            type State = Self;
            type Proxy<C: ::strandline::Channel> = #proxy<C>;
            const NAME: &'static str = #name;
        }

        impl ::strandline::EntityMethods for #self_ty {
            const OPERATIONS: &'static [::strandline::Operation] = &[#(#operations)*];

            fn needs() -> ::std::vec::Vec<::core::option::Option<::strandline::Need>> {
                // No macro: its arguments can't be under conditions.
                ::std::vec::Vec::from([#(#needs)*])
            }

            #[allow(clippy::let_unit_value)]
            fn run<'a>(
                &'a mut self,
                operation: usize,
                ctx: &'a ::strandline::EntityContext,
            ) -> ::strandline::OperationFuture<'a> {
                ::std::boxed::Box::pin(async move {
                    let known = <Self as ::strandline::EntityMethods>::OPERATIONS.get(operation);
                    match known.map(|known| known.name) {
                        #(#arms)*
                        _ => ctx.otherwise(),
                    }
                })
            }
        }
    }
}

/// The same methods over a channel.
fn proxy(self_ty: &Type, ident: &Ident, methods: &[Method<'_>]) -> TokenStream {
    let proxy = proxy_ident(ident);
    let about = format!("The operations of [`{ident}`], sent through a channel.");
    let sent = methods.iter().map(|method| {
        let (function, attributes) = (method.ident, &method.attributes);
        let name = plain(function);
        let output = match method.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, ty) => {
                let meant = without_self(ty.to_token_stream(), self_ty);
                match result_type(method.output) {
                    true => quote_spanned!(ty.span()=> <#meant as ::strandline::Outcome>::Value),
                    false => meant,
                }
            }
        };
        let (argument, input) = match &method.input {
            Some((name, ty)) => {
                let ty = without_self(ty.to_token_stream(), self_ty);
                (quote!(#name: #ty), quote!(::core::option::Option::Some(#name)))
            }
            None => (quote!(), quote!(::core::option::Option::<()>::None)),
        };
        let span = method.input.as_ref().map_or(function.span(), |(_, ty)| ty.span());
        let send = quote_spanned!(span=> ::strandline::Channel::send(&self.channel, #name, #input));
        quote! {
            #(#attributes)*
            pub fn #function(&self, #argument) -> C::Sent<#output> {
                #send
            }
        }
    });
    quote! {
        #[doc = #about]
        #[derive(Clone, Debug)]
        #[allow(dead_code, private_interfaces, unreachable_pub)]
        pub struct #proxy<C> {
            channel: C,
        }

        impl<C> ::core::convert::From<C> for #proxy<C> {
            fn from(channel: C) -> Self {
                Self { channel }
            }
        }

        #[allow(dead_code, private_interfaces, unreachable_pub)]
        impl<C: ::strandline::Channel> #proxy<C> {
            #(#sent)*
        }
    }
}

/// A type as it is written outside the `impl` block, where `Self` is another type.
fn without_self(tokens: TokenStream, self_ty: &Type) -> TokenStream {
    let mut meant = TokenStream::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) if ident == "Self" => {
                let is_prefix =
                    matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
                meant.extend(if is_prefix { quote!(<#self_ty>) } else { quote!(#self_ty) });
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_self(group.stream(), self_ty));
                inner.set_span(group.span());
                meant.extend([TokenTree::Group(inner)]);
            }
            other => meant.extend([other]),
        }
    }
    meant
}

fn proxy_ident(ident: &Ident) -> Ident {
    format_ident!("{}Proxy", ident)
}

/// Makes the type's name a value that can be registered. It comes by a glob import, so that it gives
/// way where the name is a value already, as that of a tuple struct is.
fn handle(self_ty: &Type, ident: &Ident) -> TokenStream {
    let module = format_ident!("__{}Entity", ident);
    quote! {
        #[doc(hidden)]
        #[allow(non_snake_case, non_upper_case_globals, unreachable_pub, dead_code)]
        mod #module {
            #[derive(Clone, Copy, Debug)]
            pub struct Handle;

            pub mod name {
                pub const #ident: super::Handle = super::Handle;
            }
        }

        #[doc(hidden)]
        #[allow(unused_imports, unreachable_pub)]
        pub use #module::name::*;

        impl ::strandline::Register for #module::Handle {
            fn register(self, registry: &mut ::strandline::Registry) {
                registry.add_entity::<#self_ty>();
            }
        }

        impl ::strandline::Register for #self_ty {
            fn register(self, registry: &mut ::strandline::Registry) {
                registry.add_entity::<#self_ty>();
            }
        }
    }
}

fn function_entity(arguments: &Arguments, function: &ItemFn) -> Result<TokenStream> {
    let signature = &function.sig;
    if !signature.generics.params.is_empty() {
        let text = "an entity is registered under one name and cannot be generic";
        return Err(Error::new(signature.generics.span(), text));
    }
    let parameters = inputs(function, "an entity")?;
    let Some((context, others)) = parameters.split_first() else {
        let text = "an entity takes an `EntityContext<S>`, where `S` is the type of its state";
        return Err(Error::new(signature.paren_token.span.join(), text));
    };
    let state = state_type(&context.ty)?;
    let types = others.iter().map(|parameter| &*parameter.ty).collect::<Vec<_>>();
    if let Some(other) = types.iter().find(|ty| !is_named(ty, "State")) {
        let text = "after the context an entity takes `State<..>` only: the input is `ctx.input()`";
        return Err(Error::new(other.span(), text));
    }
    if !result_type(&signature.output) {
        return Err(Error::new(signature.ident.span(), "an entity returns a `Result`"));
    }
    let ident = &signature.ident;
    let name = arguments.name.as_ref().map_or_else(|| plain(ident), syn::LitStr::value);
    let structure = unit_struct(function);
    let wait = signature.asyncness.is_some().then(|| quote!(.await));
    let taken = types
        .iter()
        .map(|ty| quote_spanned!(ty.span()=> <#ty as ::strandline::FromEntity>::from_entity(&ctx)?,));
    let needs = types.iter().map(|ty| quote_spanned!(ty.span()=> <#ty as ::strandline::FromEntity>::need(),));
    Ok(quote! {
        #structure

        impl ::strandline::Entity for #ident {
            type State = #state;
            type Proxy<C: ::strandline::Channel> = ::strandline::AnyProxy<C>;
            const NAME: &'static str = #name;
        }

        impl ::strandline::Register for #ident {
            fn register(self, registry: &mut ::strandline::Registry) {
                registry.add_entity_fn(#name, &[#(#needs)*], |ctx: ::strandline::EntityContext<#state>| async move {
                    ::strandline::Outcome::into_result(#ident.run(ctx.clone(), #(#taken)*)#wait)
                });
            }
        }
    })
}

/// The `S` of `EntityContext<S>`.
fn state_type(context: &Type) -> Result<&Type> {
    let segment = match context {
        Type::Path(path) if is_named(context, "EntityContext") => path.path.segments.last(),
        _ => None,
    };
    if let Some(PathArguments::AngleBracketed(arguments)) = segment.map(|segment| &segment.arguments)
        && let Some(GenericArgument::Type(state)) = arguments.args.first()
    {
        return Ok(state);
    }
    let text = "the first argument of an entity is an `EntityContext<S>`, where `S` is the type of its state";
    Err(Error::new(context.span(), text))
}
