"""The peer-to-peer layer: ``protocols`` are pure state machines, ``io`` runs them over sockets."""
