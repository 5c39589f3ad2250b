use strandline::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Stock {
    left: u32,
}

#[entity]
impl Stock {
    fn helper(&self) {}
}

#[entity]
impl Stock {
    pub fn consume(self) {}
}

#[entity]
impl Stock {
    pub fn two(&mut self, a: u32, b: u32) {}
}

#[entity]
impl Stock {
    pub fn borrowed(&mut self, a: &str) {}
}

#[entity]
impl Stock {
    pub fn get(&self) {}
    pub fn Get(&self) {}
}

#[entity]
impl Default for Other {
    fn default() -> Self {
        Other
    }
}

#[entity(version = "2")]
impl Stock {
    pub fn left(&self) {}
}

#[entity]
struct Other;

#[entity]
fn no_state(ctx: EntityContext) -> Result<()> {
    Ok(())
}

#[entity]
fn no_result(ctx: EntityContext<u32>) -> u32 {
    1
}

#[entity]
fn with_input(ctx: EntityContext<u32>, n: u32) -> Result<()> {
    Ok(())
}

fn main() {}
