//! Nothing is lost on the way from the model to a message and back, and nothing that comes in panics.

mod any;
mod history;
mod hostile;
