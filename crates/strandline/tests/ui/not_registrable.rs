use strandline::prelude::*;

async fn greet(city: String) -> Result<String> {
    Ok(city)
}

fn main() {
    let _ = Registry::new().register((greet, 5));
}
