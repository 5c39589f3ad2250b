use strandline::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Stock {
    left: u32,
}

#[entity]
impl Stock {
    pub fn take(&mut self, n: u32) -> Result<u32> {
        self.left -= n;
        Ok(self.left)
    }
}

#[orchestrator]
async fn flow(ctx: OrchestrationContext) -> Result<String> {
    let stock = ctx.entity::<Stock>("sku-1");
    stock.signal().take("three")?;
    let left: String = stock.take(3).await?;
    stock.tkae(3).await?;
    Ok(left)
}

fn main() {}
