//! What Doorward is measured beside: servers as users of tonic and envoy-types write them, with the
//! allocator that they have by default. `peer noop`, `peer lookups FOLDER`; started by the bench.

#![forbid(unsafe_code)]

mod lookups;
mod noop;
mod serving;

use std::error::Error;
use std::path::Path;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["noop"] => serving::serve(noop::Noop).await,
        ["lookups", folder] => serving::serve(lookups::Lookups::read(Path::new(folder))?).await,
        _ => Err("expected `noop`, or `lookups` and a folder with `keys` and `networks`".into()),
    }
}
