//! What a hash is made in: 19 MiB, which a thread keeps from one hash to the next.
//!
//! Fresh memory costs a fault for each of its pages, and each of them is time in the kernel that checks
//! on the same processor cannot interrupt everywhere.

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::domain::password::Hash;
use crate::domain::secret::Secret;

/// Of one thread. Empty until it is needed.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    /// Whether it is the password of that hash; never, where the hash is none of argon2id.
    pub(super) fn verify(&mut self, hash: &Hash, password: &Secret) -> bool {
        // Costs, salt and all are the hash's own.
        let Ok(parsed) = PasswordHash::new(hash.phc()) else { return false };
        let Ok(params) = Params::try_from(&parsed) else { return false };
        let (Some(salt), Some(expected)) = (&parsed.salt, &parsed.hash) else { return false };
        if parsed.algorithm != Algorithm::Argon2id.ident() {
            return false;
        }
        let blocks = self.of(params.block_count());
        let mut output = [0; Output::MAX_LENGTH];
        let Some(output) = output.get_mut(..expected.len()) else { return false };
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hashed =
            argon2.hash_password_into_with_memory(password.expose().as_bytes(), salt, output, blocks);
        // Their comparison takes the same time whatever differs.
        hashed.is_ok() && Output::new(output).is_ok_and(|output| output == *expected)
    }

    /// What is in it does not matter: the first pass writes every block before it is read.
    fn of(&mut self, blocks: usize) -> &mut [Block] {
        if self.0.len() < blocks {
            self.0 = vec![Block::default(); blocks];
        }
        &mut self.0[..blocks]
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len() * Block::SIZE
    }

    pub(super) fn release(&mut self) {
        self.0 = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use argon2::{PasswordHasher as _, PasswordVerifier as _};

    use super::*;

    fn hash(password: &str, params: Params) -> String {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password(password.as_bytes()).unwrap().to_string()
    }

    #[test]
    fn memory_that_was_used_before_makes_the_same_hash() {
        let costs = [(64, 2, 1), (8, 1, 1), (256, 3, 4), (64, 1, 2)];
        let mut memory = Memory::default();
        for (blocks, passes, lanes) in costs {
            for length in [16, 32, 64] {
                let params = Params::new(blocks, passes, lanes, Some(length)).unwrap();
                let phc = hash("right", params);
                Argon2::default().verify_password(b"right", phc.as_str()).unwrap();
                assert!(memory.verify(&Hash::new(&phc), &"right".to_owned().into()), "{phc}");
                assert!(!memory.verify(&Hash::new(&phc), &"wrong".to_owned().into()), "{phc}");
            }
        }
    }

    #[test]
    fn what_is_no_hash_of_argon2id_has_no_password() {
        let phc = hash("right", Params::new(8, 1, 1, None).unwrap());
        let mut memory = Memory::default();
        for other in
            [phc.replace("argon2id", "argon2i"), phc[..phc.rfind('$').unwrap()].into(), String::new()]
        {
            assert!(!memory.verify(&Hash::new(&other), &"right".to_owned().into()), "{other}");
        }
    }
}
