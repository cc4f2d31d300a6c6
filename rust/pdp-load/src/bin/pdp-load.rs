//! The command `pdp-load`: one run from a JSON file, or the empty server.

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;

use pdp_load::{LoadConfig, empty, run_blocking};

/// The decision point's own allocator, so that the empty server is a fair limit for it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: pdp-load run FILE|-            one run; JSON in, JSON out
       pdp-load serve-empty ADDRESS      a server that decides nothing";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["run", file] => run(file),
        ["serve-empty", listen] => serve_empty(listen),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(file: &str) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    if file == "-" {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(file)?;
    }
    let config: LoadConfig = serde_json::from_str(&text)?;
    println!("{}", serde_json::to_string(&run_blocking(&config)?)?);
    Ok(())
}

fn serve_empty(listen: &str) -> Result<(), Box<dyn Error>> {
    empty::serve_blocking(listen.parse()?, |address| println!("listening on {address}"))
}
