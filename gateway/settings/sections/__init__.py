"""The sections of the configuration, a file each; those of engines are in `engines/kinds`."""
