// What is marked beside a name, because it changes what a rank is worth.
import { percent } from "./numbers.mjs";

const VERDICTS = {
  "with analog reductions": [
    "analog reductions",
    "Spiking, but sums over real numbers (as in norms or attention) run outside of spikes.",
  ],
  hybrid: [
    "hybrid",
    "Part of the network runs on real numbers, not on spikes: it does not compare with one that spikes.",
  ],
};
const ORIGINS = {
  own: ["yours", "Measured here, not by the maintainers."],
  reference: ["reference", "Measured by the maintainers, from a commit without changes."],
  verified: ["verified", "Handed in by others, and measured again by maintainers."],
  claimed: ["claimed", "Handed in by others; nobody has measured it again yet."],
};
const REPRODUCED = {
  reproduced: ["reproduced", "Measured again here: the same in every figure."],
  "within the interval": ["reproduced ≈", "Measured again here: every metric inside its 95 % interval."],
  not: ["not reproduced", "Measured again here, and it came out otherwise: open the row."],
};

const mark = ([text, why], kind) => ({ text, why, kind });

// `all` also says what is as one expects.
export function marksOf(row, all = false) {
  const found = [];
  if (VERDICTS[row.verdict]) found.push(mark(VERDICTS[row.verdict], "warn"));
  else if (all && row.verdict)
    found.push(mark(["spiking", "Every operation between neurons is affine."], "note"));
  if (row.eachT)
    found.push(
      mark(
        ["each T", "One network for each T: it is fitted anew for every T that it is read out at."],
        "note",
      ),
    );
  const [backend, precision] = row.simulatedBy.split(", ");
  if (all || precision !== "float32") {
    found.push(
      mark([precision, `Precision of the weights that spikes meet; simulated by ${backend}.`], "note"),
    );
  }
  if (row.ownAnn)
    found.push(
      mark(
        [
          `own ANN ${percent(row.ann)} %`,
          "Started from another network than the board's ANN; its gap refers to its own.",
        ],
        "note",
      ),
    );
  if (row.division === "open")
    found.push(mark(["open", "Open division: trained anew, or trained for the conversion."], "note"));
  if (all || row.saysOrigin) {
    found.push(
      mark(ORIGINS[row.origin], row.origin === "claimed" ? "warn" : row.origin === "own" ? "good" : "note"),
    );
  }
  if (REPRODUCED[row.reproduced])
    found.push(mark(REPRODUCED[row.reproduced], row.reproduced === "not" ? "warn" : "good"));
  return found;
}
