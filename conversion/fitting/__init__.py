"""From a recipe and calibration images to fitted layers."""
