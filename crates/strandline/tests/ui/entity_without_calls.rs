//! Clients and entities cannot wait for an entity, and what is no entity cannot be reached as one.

use strandline::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Stock {
    left: u32,
}

#[entity]
impl Stock {
    pub fn left(&self, ctx: &EntityContext) -> u32 {
        ctx.entity::<Stock>("other");
        self.left
    }
}

async fn client(client: Client) -> Result<()> {
    client.entity::<Stock>("sku-1").left().await?;
    let left: u32 = client.entity::<Stock>("sku-1").signal().left().await?;
    client.entity::<String>("sku-1");
    Ok(())
}

async fn orchestrator(ctx: OrchestrationContext) -> Result<()> {
    ctx.lock("sku-1").await?;
    Ok(())
}

fn main() {}
