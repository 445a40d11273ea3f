//! Making transactions in a session's network: the parts that need randomness, a stamp or many cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use crate::chain::genesis::OpenAdmission;
use crate::chain::network::Network;
use crate::chain::sign;
use crate::chain::transaction::Transaction;
use crate::client::error::MakeError;
use crate::crypto::{Invitation, VoterId, random_bytes};

/// By what right a voter registers.
#[derive(Clone, Debug)]
pub enum Admission {
    /// Nobody was invited; the network must admit everybody.
    Open,
    /// With an invitation.
    Invited(Box<Invitation>),
}

/// Makes a registration. Under open admission this takes as long as the stamp does; `cancel` ends it early.
pub fn registration(
    network: &Network,
    voter: &VoterId,
    admission: &Admission,
    cancel: &AtomicBool,
) -> Result<Transaction, MakeError> {
    let hedge = random_bytes()?;
    match (admission, &network.open_admission) {
        (Admission::Invited(invitation), _) => Ok(sign::register_invited(
            &network.id(),
            voter,
            &hedge,
            invitation.signing_key(),
        )),
        (Admission::Open, OpenAdmission::Stamped { bits }) => Ok(sign::register_open(
            &network.id(),
            voter,
            &hedge,
            *bits,
            cancel,
        )?),
        (Admission::Open, OpenAdmission::Forbidden {}) => Err(MakeError::InvitationNeeded),
    }
}

/// Makes a registration for each of many voters, on all cores, in their order. Dropping the future ends the work.
pub async fn registrations(
    network: Arc<Network>,
    voters: Vec<(VoterId, Admission)>,
) -> Result<Vec<Transaction>, MakeError> {
    let cancel = Arc::new(AtomicBool::new(false));
    let _guard = CancelOnDrop(Arc::clone(&cancel));
    let work = tokio::task::spawn_blocking(move || {
        voters
            .par_iter()
            .map(|(voter, admission)| registration(&network, voter, admission, &cancel))
            .collect()
    });
    work.await.unwrap_or(Err(MakeError::Cancelled))
}

/// Raises a flag when dropped.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
