//! Seeds that a kernel cannot know.

use evo_types::ContentHash;
use rand::RngExt;

/// A seed that a kernel cannot foresee: from the job's seed and the number of the check.
pub(crate) fn derive_seed(seed: u64, purpose: &str, round: u64) -> u64 {
    let hash = ContentHash::of_parts(&[
        purpose.as_bytes(),
        &seed.to_le_bytes(),
        &round.to_le_bytes(),
    ]);
    let digits = hash.as_str().get(..16).unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or(seed)
}

/// A seed from the operating system's entropy: nothing in the process could have known it.
pub(crate) fn fresh_seed() -> u64 {
    rand::rng().random()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_by_round_and_purpose() {
        let seeds = [
            derive_seed(17, "verify", 1),
            derive_seed(17, "verify", 2),
            derive_seed(17, "other", 1),
            derive_seed(18, "verify", 1),
        ];
        for (index, seed) in seeds.iter().enumerate() {
            assert!(!seeds[..index].contains(seed));
        }
        assert_eq!(derive_seed(17, "verify", 1), seeds[0]);
    }
}
