//! A machine of which only what matters is kept: what the TPM has, which TPM sealed which file. Each start does what
//! `initrd-agent` does in `floor.rs`, `state.rs` and `recovery/takeover.rs`, with the shipped decisions, and the power
//! goes after any number of durable steps, again and again.

use bennu_formats::state::StatePin;
use bennu_policy::state::recovery::{
    Offer, SealedFact, Step, TpmFacts, Trouble, is_forgotten, offer, steps, take,
};
use bennu_policy::state::{KeyFact, PinFact, StateDecision, VolumeFact, decide};

/// Who sealed a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum File {
    None,
    Old,
    This,
}

#[derive(Debug, Clone, PartialEq)]
struct Machine {
    tpm: TpmFacts,
    /// Where the floor was begun.
    floor_at: Option<u64>,
    owner: File,
    secret: File,
    key: File,
    generation: u64,
}

/// What a start comes to.
#[derive(Debug, PartialEq)]
enum End {
    Opened,
    TakenOver,
    PowerCut,
    /// It cannot go on.
    Stuck(&'static str),
}

const UUID: [u8; 16] = [1; 16];
const KEY: KeyFact = KeyFact {
    authenticates: true,
    digest: [2; 32],
};
const RELEASE: u64 = 6;

/// Steps until the power goes.
struct Power(usize);

impl Power {
    fn step(&mut self) -> Result<(), End> {
        self.0 = self.0.checked_sub(1).ok_or(End::PowerCut)?;
        Ok(())
    }
}

impl Machine {
    /// A disk on a TPM that knows nothing of it.
    fn on_a_new_tpm(key: File) -> Self {
        Self {
            tpm: TpmFacts {
                pin: PinFact::None,
                floor: false,
                owned: false,
            },
            floor_at: None,
            owner: File::Old,
            secret: File::Old,
            key,
            generation: 40,
        }
    }

    /// The machine's own TPM; the sealed key is gone from the ESP.
    fn without_its_key() -> Self {
        Self {
            tpm: TpmFacts {
                pin: PinFact::Pinned(StatePin {
                    uuid: UUID,
                    generation: 40,
                    key_digest: KEY.digest,
                }),
                floor: true,
                owned: true,
            },
            floor_at: Some(2),
            owner: File::This,
            secret: File::This,
            key: File::None,
            generation: 40,
        }
    }

    fn volume(&self, key: Option<KeyFact>) -> VolumeFact {
        VolumeFact::Header {
            uuid: UUID,
            generation: self.generation,
            key,
        }
    }

    fn start(&mut self, power: &mut Power) -> End {
        match self.boot(power) {
            Ok(()) => End::Opened,
            Err(Stop::End(end)) => end,
            Err(Stop::Trouble(trouble)) => match self.recover(trouble, power) {
                Ok(()) => End::TakenOver,
                Err(end) => end,
            },
        }
    }

    fn boot(&mut self, power: &mut Power) -> Result<(), Stop> {
        // floor.rs: a machine that has sealed something, or keeps a volume, has had a floor.
        if !self.tpm.floor {
            return Err(Stop::Trouble(Trouble::FloorMissing));
        }
        // The storage key is compared with that of the owner's file before the floor is read.
        if self.owner == File::Old {
            return Err(Stop::End(End::Stuck("the owner's file is another TPM's")));
        }
        // state.rs.
        let key = match self.key {
            File::Old => return Err(Stop::Trouble(Trouble::KeyUnopenable)),
            File::This => Some(KEY),
            File::None => None,
        };
        match decide(&self.tpm.pin, &self.volume(key)) {
            StateDecision::Open { generation } => {
                power.step()?;
                self.generation = generation;
                power.step()?;
                if let PinFact::Pinned(pin) = &mut self.tpm.pin {
                    pin.generation = generation;
                }
            }
            StateDecision::Refuse(_) if key.is_none() && self.tpm.pin != PinFact::None => {
                return Err(Stop::Trouble(Trouble::KeyMissing));
            }
            StateDecision::Refuse(_) => return Err(Stop::Trouble(Trouble::OtherTpm)),
            StateDecision::Provision => return Err(Stop::End(End::Stuck("formatted over the volume"))),
        }
        // floor.rs: behind the volume, whose key may guard the authorisations.
        if !self.tpm.owned {
            if self.owner == File::None {
                power.step()?;
                self.owner = File::This;
            }
            power.step()?;
            self.tpm.owned = true;
        }
        // secrets.rs.
        match self.secret {
            File::Old => Err(Stop::End(End::Stuck("a secret of another TPM does not open"))),
            File::None | File::This => {
                power.step()?;
                self.secret = File::This;
                Ok(())
            }
        }
    }

    fn recover(&mut self, trouble: Trouble, power: &mut Power) -> Result<(), End> {
        if offer(trouble, &self.tpm, &self.volume(None)) != Offer::Ask {
            return Err(End::Stuck("no key is asked for"));
        }
        let pin = take(&self.tpm.pin, UUID, self.generation, KEY).map_err(|_| End::Stuck("refused"))?;
        let facts = self.tpm.clone();
        for step in steps(&facts) {
            match step {
                Step::Forget => {
                    for at in 0..2 {
                        let file = if at == 0 {
                            &mut self.owner
                        } else {
                            &mut self.secret
                        };
                        if *file == File::Old && is_forgotten(SealedFact::OfAnotherTpm, &facts) {
                            power.step()?;
                            *file = File::None;
                        }
                    }
                }
                Step::Pin => {
                    power.step()?;
                    self.tpm.pin = PinFact::Pinned(pin);
                }
                Step::Floor => {
                    power.step()?;
                    self.tpm.floor = true;
                    self.floor_at = Some(RELEASE);
                }
                Step::Seal => {
                    // The old file goes before the new one has its name.
                    power.step()?;
                    self.key = File::None;
                    power.step()?;
                    self.key = File::This;
                }
            }
        }
        Ok(())
    }
}

enum Stop {
    Trouble(Trouble),
    End(End),
}

impl From<End> for Stop {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

/// Starts until the volume is open, with these cuts first; gives the machine and how often the key was typed.
fn until_open(mut machine: Machine, cuts: &[usize]) -> Machine {
    for cut in cuts {
        if let End::Stuck(why) = machine.start(&mut Power(*cut)) {
            panic!("{why} after cuts {cuts:?}: {machine:?}");
        }
    }
    for _ in 0..2 {
        match machine.start(&mut Power(usize::MAX)) {
            End::Opened => return machine,
            End::TakenOver => {}
            other => panic!("{other:?} after cuts {cuts:?}: {machine:?}"),
        }
    }
    panic!("not open after cuts {cuts:?}: {machine:?}")
}

#[test]
fn whatever_power_cuts_a_takeover_meets_the_volume_opens_in_the_end() {
    let kinds = [
        (Machine::on_a_new_tpm(File::Old), RELEASE),
        (Machine::on_a_new_tpm(File::None), RELEASE),
        (Machine::without_its_key(), 2),
    ];
    for (machine, floor) in kinds {
        let mut seen = 0;
        for first in 0..12 {
            for second in 0..12 {
                for third in 0..12 {
                    let open = until_open(machine.clone(), &[first, second, third]);
                    assert_eq!(
                        open.floor_at,
                        Some(floor),
                        "the floor is never begun below the release"
                    );
                    assert_eq!(
                        (open.owner, open.secret, open.key),
                        (File::This, File::This, File::This)
                    );
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 12 * 12 * 12, "positive control");
    }
}

#[test]
fn with_the_floor_before_the_old_files_are_gone_a_cut_would_leave_a_machine_that_is_stuck() {
    // What the order in `steps` is for: the same machine, the floor begun first by hand.
    let mut machine = Machine::on_a_new_tpm(File::Old);
    machine.owner = File::Old;
    machine.tpm.floor = true;
    assert_eq!(
        machine.start(&mut Power(usize::MAX)),
        End::Stuck("the owner's file is another TPM's")
    );
}

#[test]
fn a_tpm_has_no_owner_before_its_volume_is_open() {
    // So that a machine whose floor was begun and whose pin was not can still be given one.
    let mut machine = Machine::on_a_new_tpm(File::Old);
    machine.owner = File::None;
    machine.secret = File::None;
    machine.tpm.floor = true;
    assert_eq!(machine.start(&mut Power(usize::MAX)), End::TakenOver);
    assert!(!machine.tpm.owned);
    assert_eq!(machine.start(&mut Power(usize::MAX)), End::Opened);
    assert!(machine.tpm.owned);
}
