"""What adversarial training adds to a sequence energy: arms that differ in one thing, under the best search of each."""
