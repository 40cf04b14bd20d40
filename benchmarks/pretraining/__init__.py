"""The models of the package's zoo: small ones, pretrained on a corpus of free English text on one core."""
