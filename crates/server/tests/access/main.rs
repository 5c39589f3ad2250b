//! Who may do what, and what is taken at all, as callers meet it on a server's port.

mod carriers;
mod limits;
mod logs;
mod place;
mod tls;
mod tokens;
mod urls;
