"""The stage `floor`: what costs no learning."""
