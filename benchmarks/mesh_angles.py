"""Reference angles of the heads in photographs, by the dense face mesh of MediaPipe, for `head_pose.py --reference`.

    python benchmarks/mesh_angles.py PHOTOGRAPHS angles.csv --every 3

Needs an environment of its own with `mediapipe==0.10.21`, and nothing of emofuse. Yaw, pitch and roll as in
`emofuse.faces.pose`; the mesh knows no zero of the pitch, so only its changes count.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2
import mediapipe
import numpy as np

RIGHT, LEFT, FOREHEAD, CHIN = 33, 263, 10, 152  # outer corners of the eyes; top and bottom of the face
BORDER = 0.3  # of the side, repeated around photographs that show nothing but the face


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--border", action="store_true", help="repeat the edge around photographs of faces alone")
    options = parser.parse_args()
    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, min_detection_confidence=0.3)
    with options.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "yaw", "pitch", "roll"])
        for path in sorted(options.photographs.glob("*.jpg"))[:: options.every]:
            image = cv2.imread(str(path))[..., ::-1]
            if options.border:
                image = cv2.copyMakeBorder(image, *[round(BORDER * image.shape[0])] * 4, cv2.BORDER_REPLICATE)
            image = np.ascontiguousarray(cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
            found = mesh.process(image).multi_face_landmarks
            if found:
                writer.writerow([path.name, *(f"{angle:.2f}" for angle in angles(found[0].landmark, image.shape))])


def angles(landmarks, shape: tuple[int, ...]) -> np.ndarray:
    """Yaw, pitch and roll from the line between the eyes and that from the forehead to the chin."""
    height, width = shape[:2]
    points = np.array([(p.x * width, p.y * height, -p.z * width) for p in landmarks])
    x = points[LEFT] - points[RIGHT]
    x /= np.linalg.norm(x)
    y = points[CHIN] - points[FOREHEAD]
    y -= x * (x @ y)
    y /= np.linalg.norm(y)
    z = np.cross(x, y)
    return np.degrees([np.arctan2(-x[2], np.hypot(x[0], x[1])), np.arctan2(y[2], z[2]), np.arctan2(x[1], x[0])])


if __name__ == "__main__":
    main()
