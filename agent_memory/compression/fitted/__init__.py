"""The parts of a fitted code: columns, structure, prediction, entropy coding."""
