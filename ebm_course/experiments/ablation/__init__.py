"""What adversarial training adds to a sequence energy: arms treated alike, under the best search of each."""
