//! The runtime face: the only directory that names glommio or core_affinity.
