//! Keeping the memory of a process that holds secrets to itself.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Lets this process leave no core dump, and on Linux lets no other process of the same user look into its memory.
///
/// The limit alone would not do where dumps are handed to a program (`core_pattern` with a pipe). What a system refuses
/// is let go: it keeps nobody from voting.
pub fn keep_memory_private() {
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, nothing);
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rustix::process::{DumpableBehavior, dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn there_is_neither_a_dump_nor_a_look_into_the_memory() {
        keep_memory_private();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        let behavior = dumpable_behavior().unwrap();
        assert_eq!(behavior, DumpableBehavior::NotDumpable);
    }
}
