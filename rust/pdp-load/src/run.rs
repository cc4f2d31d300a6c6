//! One run: verify, connect, drive, merge.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;

use crate::config::{Load, LoadConfig, Protocol};
use crate::drive::{Caller, Drive};
use crate::error::LoadError;
use crate::grpc::GrpcConnection;
use crate::http1::HttpPool;
use crate::record::Records;
use crate::report::LoadReport;
use crate::stream::StreamConnection;
use crate::tally::{Tally, Window};

/// Requests that are asked one by one before any load.
const VERIFIED: usize = 200;

/// Runs `config` to its end on threads of its own and blocks until then.
///
/// # Errors
/// A [`LoadError`] when any request failed or was answered wrongly, before,
/// during or after the measured time. There is no partial report.
pub fn run_blocking(config: &LoadConfig) -> Result<LoadReport, LoadError> {
    config.validate()?;
    let records = Records::load(config)?;
    std::thread::scope(|scope| {
        let first = scope.spawn(|| on_runtime(verify(config, &records)));
        join(first)?;
        let threads: Vec<_> = (0..config.threads)
            .map(|thread| {
                let records = &records;
                scope.spawn(move || on_runtime(drive(config, records, thread)))
            })
            .collect();
        let mut tallies = threads.into_iter().map(join).collect::<Result<Vec<Tally>, _>>()?.into_iter();
        let mut total = tallies.next().ok_or(LoadError::Empty)?;
        for tally in tallies {
            total.merge(&tally)?;
        }
        LoadReport::new(config, &total)
    })
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T, LoadError>>) -> Result<T, LoadError> {
    thread.join().unwrap_or_else(|_| Err(LoadError::Generator("a thread panicked".to_owned())))
}

fn on_runtime<T>(work: impl Future<Output = Result<T, LoadError>>) -> Result<T, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| LoadError::Generator(error.to_string()))?;
    runtime.block_on(LocalSet::new().run_until(work))
}

/// Asks requests spread over all of them one by one, so that a wrong answer is met before any load.
async fn verify(config: &LoadConfig, records: &Records) -> Result<(), LoadError> {
    let target = &config.target;
    match target.protocol {
        Protocol::Grpc => {
            verify_with(&GrpcConnection::connect(target.address, &target.path).await?, config, records).await
        }
        Protocol::CheckStream => {
            verify_with(&StreamConnection::connect(target.address, &target.path).await?, config, records)
                .await
        }
        Protocol::Http => {
            verify_with(&HttpPool::connect(target.address, &target.path, 1).await?, config, records).await
        }
    }
}

async fn verify_with<C: Caller>(caller: &C, config: &LoadConfig, records: &Records) -> Result<(), LoadError> {
    let step = records.len().div_ceil(VERIFIED).max(1);
    for index in (0..records.len()).step_by(step) {
        let grace = Duration::from_secs_f64(config.grace_seconds);
        tokio::time::timeout(grace, caller.call(index, records.get(index)?))
            .await
            .unwrap_or(Err(LoadError::Stalled(config.grace_seconds)))?;
    }
    Ok(())
}

/// One thread's share.
async fn drive(config: &LoadConfig, records: &Records, thread: usize) -> Result<Tally, LoadError> {
    let (address, path) = (config.target.address, config.target.path.as_str());
    let total = config.load.connections();
    let share = total / config.threads + usize::from(thread < total % config.threads);
    let pool = match config.load {
        Load::Closed { in_flight, .. } => in_flight,
        Load::Open { .. } => 8,
    };
    match config.target.protocol {
        Protocol::Grpc => {
            let mut callers = Vec::with_capacity(share);
            for _ in 0..share {
                callers.push(Rc::new(GrpcConnection::connect(address, path).await?));
            }
            drive_with(config, records, thread, callers).await
        }
        Protocol::CheckStream => {
            let mut callers = Vec::with_capacity(share);
            for _ in 0..share {
                callers.push(Rc::new(StreamConnection::connect(address, path).await?));
            }
            drive_with(config, records, thread, callers).await
        }
        Protocol::Http => {
            let mut callers = Vec::with_capacity(share);
            for _ in 0..share {
                callers.push(Rc::new(HttpPool::connect(address, path, pool).await?));
            }
            drive_with(config, records, thread, callers).await
        }
    }
}

async fn drive_with<C: Caller>(
    config: &LoadConfig,
    records: &Records,
    thread: usize,
    callers: Vec<Rc<C>>,
) -> Result<Tally, LoadError> {
    let window = Window::starting_now(
        Duration::from_secs_f64(config.warm_up_seconds),
        Duration::from_secs_f64(config.duration_seconds),
    );
    let tally = Rc::new(RefCell::new(Tally::new(window)?));
    #[allow(clippy::cast_precision_loss)]
    let part = callers.len() as f64 / config.load.connections() as f64;
    let drive = Drive {
        callers,
        cursor: records.cursor(thread, config.threads),
        tally: Rc::clone(&tally),
        window,
        grace: Duration::from_secs_f64(config.grace_seconds),
    };
    match config.load {
        Load::Closed { in_flight, .. } => drive.closed(in_flight).await?,
        Load::Open { rate, .. } => drive.open(rate * part).await?,
    }
    let measured = tally.replace(Tally::new(window)?);
    Ok(measured)
}
