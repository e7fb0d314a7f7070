"""What was decided of numbers of replicas: `messages` of a gateway to its writer, `table`, `keeping`."""
