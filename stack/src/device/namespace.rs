//! Private networks: a command that runs at the other end of the stack's wire, in namespaces of its own.
